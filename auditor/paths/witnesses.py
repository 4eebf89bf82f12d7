"""Witnesses of other places: flow logs, CloudTrail, and the logs of other sensors, joined to flows by addresses and time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.capture.compression import unpacked
from auditor.errors import InputError
from auditor.paths.model import Evidence, Flows
from auditor.paths.site import Network

if TYPE_CHECKING:
    from auditor.paths.cloudtrail import CloudTrail, Event
    from auditor.paths.flow_log_match import FlowLogWitness
    from auditor.paths.sensors import Seen, SensorLog

Array = np.ndarray[Any, Any]
HEAD = 1 << 16
KNOWN = "VPC and transit gateway flow logs (text or Parquet), CloudTrail events, Zeek's conn.log and ssl.log, Suricata's EVE"
CONVERT = "of other forms make JSON or text, as with aws logs filter-log-events --output json, or CSV, as Athena does"
SUFFIXES = {
    ".log",
    ".json",
    ".parquet",
    ".txt",
    ".tsv",
    ".gz",
    ".csv",
    ".ndjson",
    ".jsonl",
    ".bz2",
    ".xz",
    ".zst",
    ".lz4",
}


@dataclass
class Witnesses:
    """All witnesses of an audit."""

    flow_log: "FlowLogWitness | None" = None
    trail: "CloudTrail | None" = None
    sensor: "SensorLog | None" = None

    @property
    def is_empty(self) -> bool:
        return self.flow_log is None and self.trail is None and self.sensor is None

    def evidence(self, flows: Flows, network: Network, disagreement: Array) -> list[Evidence]:
        """What they say of flows. Where they contradict the packets, ``disagreement`` gets the words."""
        found: list[Evidence] = []
        for witness in (self.flow_log, self.trail, self.sensor):
            if witness is not None:
                found += witness.evidence(flows, network, disagreement)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table ``witnesses``."""
        return [row for one in (self.flow_log, self.trail, self.sensor) if one is not None for row in one.rows()]


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file() and SUFFIXES & set(p.suffixes))
            if not found:
                raise InputError(f"{path}: the folder holds no log; known are {KNOWN}")
            yield from found
        else:
            yield path


def read(paths: Iterable[str | Path], skew: float = 0.0) -> Witnesses:
    """Read files and folders, each told by its contents. ``skew``: seconds by which the logs' clocks are ahead.

    Raises InputError naming the file and what is wrong.
    """
    from auditor.paths import cloudtrail, flow_logs, sensors  # most audits have no witness, and need none of these
    from auditor.paths.flow_log_match import FlowLogWitness

    files = list(_files(paths))
    heads = {path: b"" if path.suffix == ".parquet" else unpacked(path, HEAD) for path in files}
    formats = [text for path in files if heads[path].lstrip()[:1] == b"{" for text in flow_logs.formats_of(path)]
    logs = flow_logs.Reader(formats)
    trails: list[tuple[str, list[Event]]] = []
    seen: list[tuple[str, list[Seen]]] = []
    any_log = False
    for path in files:
        head = heads[path]
        if b'"digestS3Object"' in head:  # CloudTrail's digests lie beside its logs, and hold no events
            continue
        if cloudtrail.looks_like(head):
            trails.append((str(path), cloudtrail.read(path)))
        elif path.suffix == ".parquet" or not head.strip() or flow_logs.looks_like(head, formats):
            logs.add(path)
            any_log = True
        elif sensors.looks_like(head):
            seen.append((str(path), sensors.read(path)))
        elif not flow_logs.formats_of(path):
            raise InputError(f"{path}: not a log that is known: {KNOWN}; {CONVERT}")
    offset = int(skew * 1e9)
    return Witnesses(
        FlowLogWitness(logs.finish(), offset) if any_log else None,
        cloudtrail.CloudTrail(trails, offset) if trails else None,
        sensors.SensorLog(seen, offset) if seen else None,
    )
