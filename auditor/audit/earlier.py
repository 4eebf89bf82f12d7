"""What an earlier audit with the same results has read, and this one need not read again; they may lie in a store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.audit.fetched_inputs import FetchedInputs
from auditor.border.urls import url_of
from auditor.options import Options
from auditor.report import temporary
from auditor.report.audit import Audit

if TYPE_CHECKING:
    from auditor.audit.resume import ResumePlan
    from auditor.audit.share_state import KeptShares
    from auditor.capture.inputs import Input
    from auditor.machine.memory import Ceiling


@dataclass(frozen=True, eq=False, repr=False)
class Earlier:
    """Results of before, in a folder; None where there are none, and perhaps only what a killed audit has left."""

    results: Path | None

    def going_on(self, inputs: "list[Input]", options: Options, ceiling: "Ceiling") -> "ResumePlan | None":
        """How this audit goes on from an earlier one, if it does; it is said how much that has read."""
        from auditor.audit import resume
        from auditor.machine import kernel

        kernel.prepare()
        going = resume.plan(inputs, options, ceiling, self.results)
        if going is not None and options.say is not None:
            options.say(f"{going.words}; --fresh reads them again")
        return going

    def left_by_shares(self, inputs: "Sequence[Input]", options: Options) -> "KeptShares | None":
        """What several processes have followed for the results, to go on from there."""
        from auditor.report.custody import STATE

        if self.results is None or not (self.results / STATE).exists():
            return None
        from auditor.audit import parallel  # most audits are not gone on from shares, and need nothing of them

        return parallel.left_by_shares(inputs, options, self.results)

    def judged_anew(self, going: "ResumePlan", brought: FetchedInputs) -> Audit:
        """The results of captures that were all read before."""
        from auditor.audit import killed, resume
        from auditor.audit.judging import judged

        assert going.past.replay is not None
        assert self.results is not None
        try:
            if resume.is_done(going.past, brought.options, self.results):
                killed.clear(brought.options)  # it may have been killed when all but its last files were gone
                return self._same(brought.options)
            return judged(going.past.replay, brought, self.results, goes_on=bool(going.past.values))
        finally:
            going.close()

    def _same(self, options: Options) -> Audit:
        """The results as they are; those that were fetched from a store are the audit's own then."""
        assert self.results is not None
        if url_of(options.out or "") is None:
            return Audit(self.results)
        place = temporary.new()
        return Audit(self.results.replace(place), temporary=True)


@contextmanager
def earlier(options: Options) -> Iterator[Earlier | None]:
    """What there is of an earlier audit; None for nothing, or where it does not count."""
    if options.out is None or options.fresh:
        yield None
    elif (url := url_of(options.out)) is None:
        yield Earlier(Path(options.out)) if Path(options.out).is_dir() else None
    else:
        from auditor.report import custody, fetched  # only for stores
        from auditor.report.results import MANIFEST

        names = fetched.there(url)
        results = fetched.results(url, MANIFEST) if MANIFEST in names and custody.KEPT in names else None
        try:
            yield Earlier(results) if results is not None or temporary.left(url) else None
        finally:
            if results is not None:
                fetched.forget(results)
