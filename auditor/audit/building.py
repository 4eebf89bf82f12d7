"""Building what batches go through of an audit's options: policies, site, logs, ranges."""

from concurrent.futures import ThreadPoolExecutor

from auditor.audit.pipeline import Pipeline
from auditor.aws.ranges import Ranges
from auditor.machine import memory
from auditor.options import Options
from auditor.paths import site as sites
from auditor.paths import witnesses
from auditor.paths.judge import Judge
from auditor.policy import library
from auditor.policy.evaluate import Evaluation
from auditor.requests.inside import Inside


def pipeline_of(options: Options, inside: Inside, ceiling: memory.Ceiling) -> Pipeline:
    """What batches go through. Raises TopologyError, PolicyError and InputError for files that are not valid."""
    policies = library.combined(options.policies, options.all_traffic)
    share = ceiling.logs // 2 if options.witnesses and (options.routes or options.topology) else ceiling.logs
    with ThreadPoolExecutor(1) as beside:  # reading large logs is mostly Arrow's work, which needs no GIL
        logs = (
            beside.submit(witnesses.read, options.witnesses, options.skew, memory.Allowance(share))
            if options.witnesses
            else None
        )
        site = sites.build(options.topology, options.aws, options.routes, memory.Allowance(share))
        judge = Judge(site, logs.result()) if logs is not None else Judge(site)
    ranges = Ranges.read(options.ip_ranges) if options.ip_ranges is not None else Ranges.shipped()
    return Pipeline(judge, ranges, Evaluation(policies, options.as_of), inside, ceiling)
