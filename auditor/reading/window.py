"""The time of which packets are audited, and which files can hold none of it: these are not read.

A file shows when it begins. When it ends is shown by its last records, where it is not packed; a packed one ends when the
next file of its series begins, perhaps with a packet of the same time. Where neither says so for certain, a file is read.
"""

import io
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from auditor.capture.beginnings import beginning_of
from auditor.capture.inputs import Input
from auditor.capture.pcap import FULL, HEADER_BYTES, SPECIAL, PcapHeader
from auditor.capture.reader import Reader, new_buffer
from auditor.capture.record_forms import settled
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.reading import scan

HEAD = 64 << 10  # bytes of a file's beginning, in which a pcapng describes its interfaces
TAIL = 320 << 10  # bytes of a file's end: the largest record is in it, with those behind
MOST_AT_ONCE = 4096  # packets of it that are listed
FEWEST = 3  # files that make a series, which shows how long one is
UNEVEN = 4  # times that the shortest time between two beginnings of a series may be shorter than the usual one
DIGITS = re.compile(r"\d+")


class Window(NamedTuple):
    """Packets from ``since`` to before ``until`` (nanoseconds since 1970, by the clock of their capture)."""

    since: int | None = None
    until: int | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None

    def holds(self, times: Any) -> Any:
        """Which of some times are in it."""
        inside = np.ones(len(times), bool)
        if self.since is not None:
            inside &= times >= self.since
        if self.until is not None:
            inside &= times < self.until
        return inside

    def words(self) -> str:
        """From when to when it is."""
        parts = [] if self.since is None else [f"from {_shown(self.since)}"]
        return " ".join(parts if self.until is None else [*parts, f"to before {_shown(self.until)}"])


def _shown(time: int) -> str:
    seconds, rest = divmod(time, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


class Span(NamedTuple):
    """What is known of when a file has packets: its name, the first that were looked at, and the last where it shows."""

    name: str
    first: int
    looked_at: int  # the latest of the first packets
    last: int | None = None


def last_time(head: bytes, tail: bytes, *, at_most: bool = True) -> int | None:
    """The latest time of the packets at a file's end, by its first and last bytes; None where that does not show.

    ``at_most``: it is not later than that for certain; otherwise most likely it is that.
    """
    beginning = beginning_of(head)
    if beginning is None or beginning.lack is not None:
        return None
    if beginning.format == "pcap" and beginning.header is not None:
        return _last_of_pcap(settled(beginning.header, head[HEADER_BYTES:])[0], tail, at_most=at_most)
    return _last_of_pcapng(head, tail) if beginning.format == "pcapng" else None


def _last_of_pcap(header: PcapHeader, tail: bytes, *, at_most: bool) -> int | None:
    """That of a pcap.

    Records say how long they are, not where the one before begins: every place from which records lead to the very end
    counts, so that among them are those that are really there. Those are most likely the ones of the longest row.
    """
    size, head = len(tail), header.record_bytes
    if size < head:
        return None
    data, order = np.frombuffer(tail, np.uint8), ">" if header.big_endian else "<"
    starts = size - head + 1

    def words(at: int) -> Any:
        four = np.lib.stride_tricks.sliding_window_view(data, 4)[at : at + starts]
        return np.ascontiguousarray(four).view(f"{order}u4")[:, 0].astype(np.int64)

    following = np.full(size + 2, size + 1)  # one place behind the end for what leads nowhere
    following[size] = size
    captured = words(8)
    after = np.arange(starts) + head + captured
    is_record = (captured > 0) & (captured <= words(12)) & (after <= size) & (words(4) <= header.most_fraction)
    following[:starts] = np.where(is_record, after, size + 1)
    after, records = following, np.zeros(size + 2, np.int64)
    records[:starts] = is_record
    for _ in range(size.bit_length()):
        records = records + records[following]
        following = following[following]
    begins = np.flatnonzero(following[:starts] == size)
    if not len(begins):
        return None
    if not at_most:
        at = int(begins[np.argmax(records[begins])])
        while after[at] != size:
            at = int(after[at])
        begins = np.array([at])
    return int((words(0)[begins] * 1_000_000_000 + words(4)[begins] * header.tick).max())


def _last_of_pcapng(head: bytes, tail: bytes) -> int | None:
    """That of a pcapng, whose blocks say their length at both ends: those of the tail are read behind those of the head."""
    order = "big" if head[8:12] == b"\x1a\x2b\x3c\x4d" else "little"
    described = 0
    while described + 12 <= len(head):
        kind = int.from_bytes(head[described : described + 4], order)  # type: ignore[arg-type]
        length = int.from_bytes(head[described + 4 : described + 8], order)  # type: ignore[arg-type]
        if kind in (2, 3, 6) or length < 12 or described + length > len(head):
            break
        described += length
    at = len(tail)
    while at >= 12:
        length = int.from_bytes(tail[at - 4 : at], order)  # type: ignore[arg-type]
        begin = at - length
        if (
            length < 12
            or begin < 0
            or tail[begin + 4 : begin + 8] != tail[at - 4 : at]
            or tail[begin : begin + 4] == head[:4]
        ):
            break
        at = begin
    return _latest(head[:described] + tail[at:]) if at < len(tail) else None


def _latest(data: bytes) -> int | None:
    """The latest time of the packets of a small capture that is whole."""
    packets, latest = S.packets(MOST_AT_ONCE), None
    with suppress(InputError, OSError):
        reader = Reader(Input("", stream=io.BytesIO(data), is_hashed=False), new_buffer(len(data) + 1))
        reader.fill()
        while True:
            count, reader.position, ended, *_ = scan.read_batch(
                reader.buffer, reader.position, reader.stop, reader.layout, reader.interfaces, 0, packets
            )
            if count:
                time = int(packets["time"][:count].max())
                latest = time if latest is None else max(latest, time)
            if ended != FULL and not (ended == SPECIAL and reader.special()):
                return latest if reader.position == reader.stop and reader.notes.status == "complete" else None
    return None


def last_times(inputs: Sequence[Input], *, at_most: bool = True) -> list[int | None]:
    """The latest times of captures, where their ends show them; see ``last_time``."""
    ends: list[tuple[bytes, bytes] | None] = [item.ends(HEAD, TAIL) for item in inputs]
    objects = [item.remote for item in inputs if item.remote is not None and item.member is None]
    if objects:
        from auditor.stores import client  # only for stores

        pieces = client.ends(objects, HEAD, TAIL)
        ends = [
            next(pieces) if item.remote is not None and item.member is None else ends[k]
            for k, item in enumerate(inputs)
        ]
    return [None if both is None else last_time(*both, at_most=at_most) for both in ends]


def outside(spans: Sequence[Span], window: Window) -> dict[int, str]:
    """Which of some files hold nothing of a time, by their place in the list, and why."""
    found: dict[int, str] = {}
    followers = _followers(spans) if window.since is not None else {}
    for place, one in enumerate(spans):
        last = one.last
        if window.until is not None and one.first >= window.until:
            found[place] = f"begins {_shown(one.first)}"
        elif window.since is None or one.looked_at >= window.since:
            continue
        elif last is not None and last < window.since:
            found[place] = f"ends {_shown(last)}"
        elif last is None and place in followers and spans[followers[place]].first < window.since:
            follower = spans[followers[place]]
            found[place] = f"{follower.name}, the next of its series, begins {_shown(follower.first)}"
    return found


def _followers(spans: Sequence[Span]) -> dict[int, int]:
    """For each file of a series the next one.

    Files are a series if their names differ in one number that rises with their times, and if they begin one after the
    other, about evenly. What begins at about the same time, as files of several queues do, is none.
    """
    from statistics import median  # which loads fractions and decimals

    followers: dict[int, int] = {}
    for series in _series(spans):
        pairs = list(pairwise(series))
        steps = [spans[b].first - spans[a].first for a, b in pairs]
        overlap = any(spans[b].first < spans[a].looked_at for a, b in pairs)
        if len(series) >= FEWEST and not overlap and min(steps) * UNEVEN >= median(steps) > 0:
            followers |= dict(pairs)
    return followers


def _series(spans: Sequence[Span]) -> list[list[int]]:
    """Files whose names are the same but for one number that rises, in the order of their beginnings."""
    alike: dict[str, list[int]] = {}
    for place in sorted(range(len(spans)), key=lambda k: spans[k].first):
        alike.setdefault(DIGITS.sub("#", spans[place].name), []).append(place)
    listed = []
    for group in alike.values():
        numbers = {place: [int(text) for text in DIGITS.findall(spans[place].name)] for place in group}
        rising = [k for k in range(len(numbers[group[0]])) if _rises([numbers[place][k] for place in group])]
        for counter in rising[-1:] or range(len(numbers[group[0]]) - 1, -1, -1):
            parts: dict[tuple[int, ...], list[int]] = {}
            for place in group:
                rest = () if rising else (*numbers[place][:counter], *numbers[place][counter + 1 :])
                parts.setdefault(rest, []).append(place)
            if all(_rises([numbers[place][counter] for place in part]) for part in parts.values()):
                listed += list(parts.values())
                break
    return listed


def _rises(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))
