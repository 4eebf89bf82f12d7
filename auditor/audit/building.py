"""Building what batches go through of an audit's options: policies, site, logs, ranges."""

from collections.abc import Callable
from functools import partial

from auditor.audit.pipeline import Pipeline
from auditor.aws.ranges import Ranges
from auditor.machine import memory
from auditor.options import Options
from auditor.paths import site as sites
from auditor.paths import witnesses
from auditor.paths.judge import Judge
from auditor.policy import library
from auditor.policy.evaluate import Evaluation
from auditor.requests.inside import FlowOpener


def build_pipeline(
    options: Options, inside: FlowOpener, ceiling: memory.Ceiling, span: Callable[[], witnesses.Span] | None = None
) -> Pipeline:
    """What batches go through. Raises TopologyError, PolicyError and InputError for files that are not valid.

    ``span``: see ``witnesses.read``; what is wrong with logs shows when they are first needed, or before.
    """
    policies = library.combined(options.policies, options.all_traffic)
    has_others = bool(options.routes or options.topology or options.aws)
    share = ceiling.logs // 2 if options.witnesses and has_others else ceiling.logs
    coming = None
    if options.witnesses:
        read = partial(witnesses.read, options.witnesses, options.skew, memory.Allowance(share), account=options.aws)
        coming = witnesses.WitnessThread(read, span or (lambda: (None, None)))
    try:
        site = sites.build(options.topology, options.aws, options.routes, memory.Allowance(share))
    except BaseException:
        if coming is not None:
            coming.stop()
        raise
    ranges = Ranges.read(options.ip_ranges) if options.ip_ranges is not None else Ranges.shipped()
    return Pipeline(Judge(site, coming), ranges, Evaluation(policies, options.day), inside, ceiling)
