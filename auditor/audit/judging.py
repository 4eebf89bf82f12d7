"""Judging an audit anew: by other policies, topologies or logs, from what it has kept, without reading a capture."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from auditor.audit.before import ceiling_of, check_out
from auditor.border.urls import url_of
from auditor.errors import AuditError, InputError
from auditor.options import OptionValues, takes_options
from auditor.report.audit import Audit

if TYPE_CHECKING:
    from auditor.audit.before import Confine
    from auditor.audit.fetched_inputs import FetchedInputs
    from auditor.audit.replay import Replay


@takes_options
def judge(results: str | Path | Audit, **values: Unpack[OptionValues]) -> Audit:
    """Judge an audit anew, without reading a capture: as if its captures were audited with these options.

    ``results``: an audit, or the folder that ``out`` named. What is not given is as it was there; keys, ``apart``,
    ``http`` and ``ip_ranges`` decide what is read of captures, so they cannot be given. With ``out`` the new results stay
    in that folder, otherwise they live as long as the Audit.

    Raises AuditError where the results keep nothing to be judged, and as ``audit`` does for files that are not valid.
    """
    return judge_results(results.folder if isinstance(results, Audit) else Path(results), values)


def judge_results(folder: Path, values: OptionValues, confine: "Confine | None" = None) -> Audit:
    """``judge`` for the results in a folder; ``confine`` is that of ``audit_inputs``."""
    if (url := url_of(folder)) is not None:
        from auditor.report import fetched  # only for stores
        from auditor.report.results import MANIFEST

        place = fetched.results(url, MANIFEST)
        try:
            return judge_results(place, values, confine)
        finally:
            fetched.forget(place)
    from auditor.audit import audit_settings
    from auditor.audit.fetched_inputs import FetchedInputs
    from auditor.audit.replay import kept_in
    from auditor.report.custody import NAMES

    with kept_in(folder, _room(values)) as replay:
        options = audit_settings.options_of(
            replay.values, values, is_own=replay.is_own
        )  # which asks for the key, before rights go
        if options.skew and not options.witnesses:
            raise InputError("--skew has no effect here: it goes with --witness")
        with FetchedInputs(options, is_alone=True) as brought:
            check_out([folder / name for name in NAMES], brought.options)
            if confine is not None:
                out = [] if options.out is None or url_of(options.out) is not None else [Path(options.out)]
                confine([folder, *brought.options.files()], out)
            return judged(replay, brought, folder)


def _room(values: OptionValues) -> int:
    """Bytes that what is read of an audit that was kept may take."""
    from auditor.machine import memory, packed
    from auditor.options import Options

    return packed.room(memory.ceiling(Options(memory=values.get("memory")).memory_bytes()))


def judged(replay: "Replay", brought: "FetchedInputs", folder: Path, *, goes_on: bool = False) -> Audit:
    """An audit that was kept, judged by other options; ``goes_on``: its captures may be gone on from as well."""
    from auditor.audit import audit_settings
    from auditor.audit.building import build_pipeline
    from auditor.audit.outcome import outcome
    from auditor.report import custody

    options = brought.options
    inside = audit_settings.inside_of(replay.values, options)
    pipeline = build_pipeline(options, inside, ceiling_of(options))
    audit_settings.check_ranges(replay.values, pipeline.ranges)
    pipeline.answers = replay.log.answers()
    with outcome(brought, pipeline) as one:
        if one.run.keeping is not None:
            one.run.keeping.is_own = replay.is_own
            one.run.keeping.copy(*replay.kept())
            if goes_on:
                one.run.keeping.copy_state(folder, custody.read(folder).unlisted[custody.STATE])
        pipeline.keeping = None  # all of it is there
        with suppress(AuditError):
            one.sink.known = custody.read(folder).captures
        one.run.take(replay)
        return one.finish()
