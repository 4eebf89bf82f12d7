"""Batches of finished flows in files: what an audit keeps to be judged anew, and what processes hand to each other.

Secrets of TLS sessions are never among it: whoever reads the file looks for them in the captures again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from auditor.border.gate import RefusedError
from auditor.capture.digest import KnownInput
from auditor.capture.inputs import Input
from auditor.capture.notes import Notes
from auditor.decode.control import Control
from auditor.decode.fragments import Counts
from auditor.decode.frames import BITS
from auditor.errors import shown
from auditor.flows import rows, strings
from auditor.flows import state as S
from auditor.machine import packed
from auditor.reading import kept_control
from auditor.reading.events import Batch, RequestsFound
from auditor.reading.sources import SKIPPED, CaptureCounts, Source
from auditor.reading.time_order import Steps

BATCH, CONTROL, SOURCES = "batch of flows", "control", "sources"  # kinds of files
LAYOUTS = {
    "flows": S.FLOW,
    "sides": S.BOTH,
    "handshakes": S.HANDSHAKE,
    "handshake_flow": np.dtype(np.int64),
    "places": S.PLACE,
    "place_flow": np.dtype(np.int64),
}
TEXTS = {"string_lengths": np.dtype(np.int64), "strings": np.dtype(np.uint8)}
CHOSEN = {"kind": np.dtype(np.int16), "reason": np.dtype(np.int32)}
TALLIES = {"tallies": np.dtype(np.int64)}
OF_A_RUN = ("bucket", "next", "handshake", "datagram", "place")
FRAMES = {
    "sides": ("first_frame", "last_frame", "repeat_frame", "reset_frame", "elsewhere_frame"),
    "handshakes": ("client_frame", "server_frame"),
    "places": ("first_frame", "last_frame"),
}
# Numbers that are counted of a capture besides its tallies.
PLAIN = (
    *("flows", "handshakes", "apart", "offset", "samples", "samples_left_out", "outside"),
    *("dropped", "secrets", "bytes", "evicted", "forgotten", "late", "unsure"),
)


def batch_parts(batch: Batch, chosen: RequestsFound | None = None) -> tuple[dict[str, Any], dict[str, S.Array]]:
    """The values and arrays that say what a batch holds, with the strings that its rows name.

    ``chosen``: what was found of the requests in its flows. It is kept where a log of batches is, which has what captures
    show of their network, with their names, once for all.
    """
    own, texts = strings.compacted(batch.rows, batch.memory)
    for name in OF_A_RUN:  # where the kernels had them, by the secret of their hashes
        own.flows[name] = 0
    values: dict[str, Any] = {"interfaces": batch.interfaces, "size": batch.size}
    arrays = {name: getattr(own, name) for name in LAYOUTS}
    arrays |= {"string_lengths": texts.lengths, "strings": texts.data}
    if chosen is None:
        values["captures"] = batch.captures
    else:
        values["reasons"] = chosen.reasons
        arrays |= {"kind": chosen.kind.astype(np.int16), "reason": chosen.reason.astype(np.int32)}
    return values, arrays


def batch_of(found: packed.Packed, generation: int, control: Control | None = None) -> Batch:
    """The batch that ``batch_parts`` was given; ``control``: what its captures show of their network, where that is known.

    Raises RefusedError for what no audit has written.
    """
    own = rows.Rows(**{name: found.arrays[name] for name in LAYOUTS})
    memory = strings.memory_of(found.arrays["string_lengths"], found.arrays["strings"])
    interfaces, size = found.values.get("interfaces"), found.values.get("size")
    captures = found.values.get("captures") if control is None else control.captures
    if not _are_texts(captures) or not _are_texts(interfaces, empty=True) or not isinstance(size, int):
        raise RefusedError("damaged: it does not say of which captures it is")
    assert isinstance(captures, list)
    assert isinstance(interfaces, list)
    _check(own, len(captures), len(interfaces), len(memory.entries))
    return Batch(
        captures,
        own,
        size,
        memory,
        generation,
        interfaces=interfaces,
        control=Control(captures=captures) if control is None else control,
        key_logs={},
        chosen=_chosen(found, len(own)) if "kind" in found.arrays else None,
    )


def _chosen(found: packed.Packed, count: int) -> RequestsFound:
    """What was found of the requests in the flows of a batch."""
    kind, reason, texts = found.arrays["kind"], found.arrays["reason"], found.values.get("reasons")
    if not _are_texts(texts, empty=True) or kind.shape != (count,) or reason.shape != (count,):
        raise RefusedError("damaged: it does not say which requests were read")
    assert isinstance(texts, list)
    if count and not -1 <= reason.min() <= reason.max() < len(texts):
        raise RefusedError("damaged: it does not say why requests were not read")
    return RequestsFound(kind.astype(np.int64), texts, reason.astype(np.int64))


def write_batch(path: Path, batch: Batch) -> str:
    """Write a batch, with the strings that its rows name; the file's SHA-256. Raises OSError."""
    return packed.write(path, BATCH, *batch_parts(batch))


def read_batch(path: Path, generation: int, control: Control | None = None, digest: str | None = None) -> Batch:
    """A batch that was written so. Raises OSError, and RefusedError for what no audit has written."""
    return batch_of(packed.read(path, BATCH, LAYOUTS | TEXTS, digest), generation, control)


def _are_texts(value: object, *, empty: bool = False) -> bool:
    """Whether it is a list of texts, or of texts and nothing."""
    return isinstance(value, list) and all(isinstance(one, str) or (empty and one is None) for one in value)


def _check(own: rows.Rows, captures: int, interfaces: int, texts: int) -> None:
    """Raise RefusedError where rows name what is not there."""
    count = len(own.flows)
    shapes = own.flows.ndim == own.handshakes.ndim == own.places.ndim == 1 and own.sides.shape == (count, 2)
    if not shapes:
        raise RefusedError("damaged: its rows do not fit each other")
    for flow, of in ((own.handshake_flow, own.handshakes), (own.place_flow, own.places)):
        if flow.shape != of.shape or (len(flow) and (flow[0] < 0 or flow[-1] >= count or (np.diff(flow) < 0).any())):
            raise RefusedError("damaged: it has rows of flows that it has not")
    numbers = [own.flows[name] for name in strings.OF_FLOWS] + [own.handshakes[name] for name in rows.INTERNED]
    named = [own.sides["interface"], own.places["interface"]]
    seen = [getattr(own, table)[name] >> BITS for table, names in FRAMES.items() for name in names]
    limits = ((numbers, 0, texts), (named, -1, interfaces), (seen, 0, captures))
    for columns, least, end in limits:
        if any(len(one) and (one.min() < least or one.max() >= max(end, 1)) for one in columns):
            raise RefusedError("damaged: its rows name what it has not")


def write_control(path: Path, control: Control) -> str:
    """Write what captures have shown of their network; the file's SHA-256. Raises OSError."""
    return packed.write(path, CONTROL, *kept_control.parts(control))


def read_control(path: Path, digest: str | None = None) -> Control:
    """What captures have shown of their network. Raises OSError and RefusedError."""
    return kept_control.whole(packed.read(path, CONTROL, kept_control.LAYOUTS, digest))


def sources_parts(
    sources: Sequence[Source], interfaces: Sequence[str | None]
) -> tuple[dict[str, Any], dict[str, S.Array]]:
    """The values and arrays that say what was counted of captures that were read to their ends, hashed too."""
    listed = [counted_values(source) | hashed_values(source) for source in sources]
    values = {"sources": listed, "interfaces": list(interfaces)}
    return values, {"tallies": tallies_of(sources)}


def sources_found(
    found: packed.Packed, inputs: Mapping[str, Input] | None = None
) -> tuple[list[Source], list[str | None]]:
    """The captures and interfaces that ``sources_parts`` was given. Raises RefusedError for what no audit has written.

    ``inputs``: the captures by name, where they are at hand.
    """
    interfaces = found.values.get("interfaces")
    if not _are_texts(interfaces, empty=True):
        raise RefusedError("damaged: it does not say which interfaces there are")
    assert isinstance(interfaces, list)
    return list(sources_of(found.values.get("sources"), found.arrays["tallies"], inputs or {})), interfaces


def write_sources(path: Path, sources: Sequence[Source], interfaces: Sequence[str | None]) -> str:
    """Write what was counted of captures; the file's SHA-256. Raises OSError."""
    return packed.write(path, SOURCES, *sources_parts(sources, interfaces))


def read_sources(
    path: Path, inputs: Mapping[str, Input] | None = None, digest: str | None = None
) -> tuple[list[Source], list[str | None]]:
    """What was counted of captures, and their interfaces; as ``sources_found``. Raises OSError too."""
    return sources_found(packed.read(path, SOURCES, TALLIES, digest), inputs)


def tallies_of(sources: Sequence[Source]) -> S.Array:
    """What the kernels have counted of captures, a row for each."""
    counters = [source.counted.counters for source in sources]
    return np.stack(counters) if counters else np.zeros((0, S.COUNTERS), np.int64)


def counted_values(source: Source) -> dict[str, Any]:
    """What is known of a capture that was read to its end, besides its tallies and ``hashed_values``."""
    counted, item = source.counted, source.item
    return {
        "name": item.name,
        "size": item.size,
        "stamp": item.stamp,
        "number": source.number,
        "first": source.first,
        "failure": source.failure,
        "counted": {name: getattr(counted, name) for name in PLAIN},
        "interfaces": list(counted.interfaces),
        "left_out": dict(counted.left_out),
        "warnings": list(counted.warnings),
        "notes": asdict(counted.notes),
        "steps": asdict(counted.steps),
        "fragments": asdict(counted.fragments),
    }


def hashed_values(source: Source) -> dict[str, Any]:
    """What is known of a capture when all of it is hashed, which is waited for."""
    return {"sha256": source.item.sha256(), "changed": source.item.was_changed()}


def sources_of(listed: Any, tallies: S.Array, inputs: Mapping[str, Input]) -> Iterator[Source]:
    """The captures that ``counted_values`` listed. Raises RefusedError for what it did not."""
    if not isinstance(listed, list) or tallies.shape != (len(listed), S.COUNTERS):
        raise RefusedError("damaged: it does not say what was counted of which capture")
    for number, (one, counters) in enumerate(zip(listed, tallies, strict=True)):
        try:
            yield _source(one, counters, inputs)
        except (TypeError, KeyError, AttributeError) as error:
            raise RefusedError(f"damaged: what was counted of capture {number} is not there") from error


def _source(one: Any, counters: S.Array, inputs: Mapping[str, Input]) -> Source:
    counted = CaptureCounts(
        counters,
        notes=Notes(**one["notes"]),
        steps=Steps(**one["steps"]),
        fragments=Counts(**one["fragments"]),
        **one["counted"],
    )
    counted.interfaces, counted.warnings = list(one["interfaces"]), list(one["warnings"])
    counted.left_out.update(one["left_out"])
    known = KnownInput(counted.bytes, one["sha256"], bool(one["changed"]))
    name = shown(one["name"])
    gone = Input(name, size=one["size"], stamp=one["stamp"])
    item = replace(inputs.get(name, gone), digest=known)
    skipped = counted.notes.status == SKIPPED
    return Source(item, int(one["number"]), int(one["first"]), counted, failure=one["failure"], skipped=skipped)
