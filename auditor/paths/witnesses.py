"""Witnesses of other places: flow logs, CloudTrail, and the logs of other sensors, joined to flows by addresses and time."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditor.border import gate
from auditor.border.rows import Taken
from auditor.border.words import counted
from auditor.capture import folders
from auditor.capture.compression import unpacked
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance
from auditor.paths import other_logs
from auditor.paths.aws_commands import OTHER_OUTPUTS
from auditor.paths.model import Evidence, Flows
from auditor.paths.site import Network
from auditor.paths.witness import WitnessMatch
from auditor.tables import arrow, schema

if TYPE_CHECKING:
    from auditor.paths.cloudtrail import CloudTrail, Event
    from auditor.paths.flow_log_match import FlowLogWitness
    from auditor.paths.flow_log_rows import FlowLog
    from auditor.paths.flow_logs import LogReader
    from auditor.paths.sensors import SensorFlow, SensorLog

Array = np.ndarray[Any, Any]
HEAD = 1 << 16
NO_CONNECTION = (
    "no event in it names the connection that carried it (CloudTrail: the host in tlsDetails), so none is compared"
)
Span = tuple[int | None, int | None]  # times of the first packet and of the last one, None while they are not known
SUFFIXES = {
    *(".log", ".txt", ".tsv", ".csv", ".json", ".ndjson", ".jsonl", ".yaml", ".yml", ".parquet"),
    *(".gz", ".bz2", ".xz", ".zst", ".lz4"),
    *(".zip", ".tar", ".tgz", ".7z", ".orc", ".avro"),  # which are not read, and may hold logs
}
MAY_LIST = re.compile(rb'"FlowLogs"|\$\{srcaddr\}')  # what describe-flow-logs prints
LISTINGS = {".json", *OTHER_OUTPUTS}
HIDDEN = (".", "_")  # names of files that are no data, by the custom of Hive and Spark
COMPANIONS = {
    ".metadata",
    ".crc",
    ".md5",
    ".sha1",
    ".sha256",
    ".asc",
    ".sig",
}  # of files that lie beside data, about it


@dataclass(eq=False, repr=False)
class Witnesses:
    """All witnesses of an audit."""

    flow_log: "FlowLogWitness | None" = None
    trail: "CloudTrail | None" = None
    sensor: "SensorLog | None" = None
    notes: list[str] = field(default_factory=list)  # what of them cannot be read, a sentence each
    unread: list[str] = field(default_factory=list)  # files of folders that cannot be read at all, likewise

    @property
    def is_empty(self) -> bool:
        return self.flow_log is None and self.trail is None and self.sensor is None

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """What they say of flows. Where they contradict the packets, ``disagreement`` gets the words."""
        evidence: list[Evidence] = []
        for witness in self._every().values():
            evidence += witness.evidence(flows, network, disagreement)
        return evidence

    def _every(self) -> "dict[str, FlowLogWitness | CloudTrail | SensorLog]":
        """Those that there are."""
        named = {"flow log": self.flow_log, "trail": self.trail, "sensor": self.sensor}
        return {name: witness for name, witness in named.items() if witness is not None}

    def totals(self) -> "WitnessTotals":
        """What of them fits flows: it is added to as flows are judged."""
        return WitnessTotals({name: witness.matched for name, witness in self._every().items()})

    def rows(self, totals: "WitnessTotals") -> list[dict[str, Any]]:
        """The rows of the table ``witnesses``."""
        every = self._every()
        return [row for name, matched in totals.matched.items() for row in every[name].rows(matched)]


class WitnessThread:
    """Witnesses that a thread reads while captures are read: which rows of a long log are of their time shows at the end."""

    def __init__(self, read: Callable[[Callable[[], Span]], Witnesses], span: Callable[[], Span]) -> None:
        self._read, self._span = read, span
        self._result: Witnesses | BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="witnesses", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._result = self._read(self._span_now)
        except BaseException as error:  # noqa: BLE001 - raised again where the witnesses are taken
            self._result = error

    def _span_now(self) -> Span:
        if self._stopped.is_set():
            raise InterruptedError("the audit has ended")
        return self._span()

    def stop(self) -> None:
        """Read no further."""
        self._stopped.set()

    def check(self) -> None:
        """Raise what reading has raised, if it has."""
        if isinstance(self._result, BaseException):
            raise self._result

    def taken(self) -> Witnesses:
        """What was read, once it is."""
        self._thread.join()
        self.check()
        assert isinstance(self._result, Witnesses)
        return self._result


@dataclass(eq=False, repr=False)
class WitnessTotals:
    """What of each kind of witness fits flows of an audit or a part of it."""

    matched: dict[str, WitnessMatch] = field(default_factory=dict)

    def merge(self, other: "WitnessTotals") -> "WitnessTotals":
        """What fits flows of both."""
        both = dict(self.matched)
        for name, matched in other.matched.items():
            both[name] = both[name].merge(matched) if name in both else matched
        return WitnessTotals(both)


def witnesses_table(rows: list[dict[str, Any]]) -> pa.Table:
    """The table ``witnesses``."""
    if not rows:
        return arrow.empty("witnesses")
    names = [column.name for column in schema.TABLES["witnesses"]]
    return arrow.build("witnesses", {name: [row.get(name) for row in rows] for name in names})


def _files(paths: Iterable[str | Path], unread: list[str]) -> Iterator[tuple[Path, bool]]:
    """Each file that may be a log, and whether it was found in a folder; ``unread`` gets a sentence on what there is no file."""
    for path in map(Path, paths):
        if not folders.is_folder(path):
            if (refusal := folders.refusal(path)) is not None:
                raise InputError(f"{path}: {refusal}")
            yield path, False
            continue
        logs = folders.files(path, _is_named_log) or folders.files(path, _has_no_suffix)
        if not logs:
            raise InputError(f"{path}: the folder holds no log; known are {other_logs.KNOWN}; {other_logs.CONVERT}")
        unread += [f"{shown(file)}: {refusal}" for file, refusal in logs if refusal is not None]
        yield from ((file, True) for file, refusal in logs if refusal is None)


def _is_named_log(file: Path) -> bool:
    """Whether a file of a folder is named as logs are: not hidden, nor what Athena, Hive and Spark write beside them."""
    return bool(SUFFIXES & set(file.suffixes)) and not file.name.startswith(HIDDEN) and file.suffix not in COMPANIONS


def _has_no_suffix(file: Path) -> bool:
    """Whether a file is named as those that Firehose delivers."""
    return not file.suffixes and not file.name.startswith(HIDDEN)


def _formats(beside: list[Path], account: str | Path | None) -> list[str]:
    """The formats that listings of flow logs have, among the logs and in an account.

    Files of it that cannot be read are told where it is made a topology of.
    """
    from auditor.paths import flow_logs

    listings, listed = [*beside], list[tuple[Path, str | None]]()
    if account is not None:
        path = Path(account)
        listed = (
            folders.files(path, lambda f: bool(LISTINGS & set(f.suffixes)))
            if folders.is_folder(path)
            else [(path, None)]
        )
    for file, refusal in listed:
        with contextlib.suppress(InputError):
            if refusal is None and MAY_LIST.search(gate.in_utf8(unpacked(file, HEAD))) is not None:
                listings.append(file)
    return list(dict.fromkeys(text for path in listings for text in flow_logs.formats_of(path)))


def read(
    paths: Iterable[str | Path],
    skew: float = 0.0,
    allowance: Allowance | None = None,
    span: Callable[[], Span] = lambda: (None, None),
    *,
    account: str | Path | None = None,
) -> Witnesses:
    """Read files and folders, each recognised by its contents.

    ``skew``: seconds by which the logs' clocks are ahead; ``allowance``: the memory that they may be read into; ``span``:
    from when to when the captures are, as far as it is known; ``account``: what AWS's command line says of it, where formats
    of flow logs may be listed. Raises InputError naming the file and what is wrong; of a folder's files only where none can be
    read.
    """
    from auditor.paths import flow_logs  # most audits have no witness
    from auditor.paths.flow_log_match import SECOND, SLACK

    allowance, offset = allowance or Allowance(), int(skew * 1e9)

    def window() -> tuple[int | None, int | None]:
        """The seconds of rows that may be about the captures."""
        first, last = span()
        since = None if first is None else (first + offset - SLACK) // SECOND
        return since, None if last is None else (last + offset + SLACK) // SECOND + 1

    unread: list[str] = []
    files = dict(_files(paths, unread))
    heads: dict[Path, bytes] = {}
    for path, is_within in files.items():
        with _going_on(unread, is_within=is_within):
            heads[path] = b"" if flow_logs.is_parquet(path) else gate.in_utf8(unpacked(path, HEAD))
    formats = _formats([path for path in heads if MAY_LIST.search(heads[path]) is not None], account)
    reading = _Reading(formats, flow_logs.LogReader(formats, allowance, window), allowance)
    for path, head in heads.items():
        with _going_on(unread, is_within=files[path]):
            reading.take(path, head, is_within=files[path], is_alone=len(files) == 1)
    if not reading.any_of_use:
        if unread:
            raise InputError(unread[0])
        if (left_out := reading.first_left_out) is not None:
            raise other_logs.refused(left_out, heads[left_out])
    return reading.finish(offset, unread)


@contextlib.contextmanager
def _going_on(unread: list[str], *, is_within: bool) -> Iterator[None]:
    """What is wrong with one file of a folder is kept for later: the others are read all the same."""
    try:
        yield
    except InputError as error:
        if not is_within:
            raise
        unread.append(str(error))


class _Reading:
    """What of some files was read, each by what it is, and what was left out."""

    def __init__(self, formats: list[str], logs: "LogReader", allowance: Allowance) -> None:
        self._formats, self._logs, self._allowance = formats, logs, allowance
        self._trails: list[tuple[str, Taken[Event]]] = []
        self._sensed: list[tuple[str, Taken[SensorFlow]]] = []
        self._any_log = False
        self._zeek: list[Path] = []
        self._others: dict[tuple[str, str], list[Path]] = {}

    def take(self, path: Path, head: bytes, *, is_within: bool, is_alone: bool) -> None:
        """Read a file that begins with ``head``. Raises InputError naming it where it is no witness."""
        from auditor.paths import cloudtrail, cloudtrail_forms, flow_logs, sensors

        if b'"digestS3Object"' in head:  # CloudTrail's digests lie beside its logs, and hold no events
            return
        if cloudtrail_forms.looks_like(head):
            self._trails.append((str(path), cloudtrail.read(path, self._allowance)))
        elif not head.strip() or flow_logs.looks_like(head, self._formats):
            self._logs.add(path)
            self._any_log = True
        elif sensors.looks_like(head):
            self._sensed.append((str(path), sensors.read(path, self._allowance)))
        elif not is_alone and other_logs.is_beside(path, head):
            self._zeek.append(path)
        elif flow_logs.formats_of(path):
            return
        else:
            known = other_logs.named(head) or (None if other_logs.is_evidence(path, head) else other_logs.NO_LOG)
            if not is_within or known is None or known in other_logs.FORMS:
                raise other_logs.refused(path, head)
            self._others.setdefault(known, []).append(path)

    @property
    def any_of_use(self) -> bool:
        return bool(self._any_log or self._trails or self._sensed)

    @property
    def first_left_out(self) -> Path | None:
        return next((path for some in (self._zeek, *self._others.values()) for path in some), None)

    def finish(self, offset: int, unread: list[str]) -> Witnesses:
        """The witnesses, whose clocks are ``offset`` nanoseconds ahead; files that could not be read are ``unread``."""
        from auditor.paths import cloudtrail, sensors
        from auditor.paths.flow_log_match import FlowLogWitness

        log = self._logs.finish()
        notes = [*_unread([*self._trails, *self._sensed], log), *other_logs.left_out(self._zeek, self._others)]
        return Witnesses(
            FlowLogWitness(log, offset, is_whole=not unread) if self._any_log else None,
            cloudtrail.CloudTrail(self._trails, offset) if self._trails else None,
            sensors.SensorLog(self._sensed, offset) if self._sensed else None,
            notes,
            unread,
        )


def _unread(taken_of: "Iterable[tuple[str, Taken[Any]]]", log: "FlowLog") -> Iterator[str]:
    """What could not be read of trails, logs of sensors and flow logs, a sentence for each file."""
    for name, taken in taken_of:
        if not taken and taken.passed_over:
            yield f"{shown(name)}: {NO_CONNECTION}"
        if words := taken.words("row"):
            yield f"{shown(name)}: {words}"
    for name, some, of in zip(log.names, log.unread, log.rows, strict=True):
        if some:
            yield f"{shown(name)}: {some:,} of {counted(of, 'row')} cannot be read and are left out"
