"""Clocks of capture points: by how much one is ahead of another, as packets show that both have captured.

Both sides of a router, the two ends of a line, the machines of a cluster: each has its own clock. Where several packets lie
in two captures, and the differences of their time stamps agree, that is the difference of the clocks, and the way between.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FEWEST = 4  # packets that two points must have in common
AGREE = 5_000_000  # nanoseconds within which half of the differences must lie around the middle one
MOST_ALIKE = 8  # captures of one place that are compared; a network is mirrored to few hosts
# Packets, and which part of all at that time, that two captures of the same place must have in common.
FEWEST_ALIKE, SHARE = 8, 0.9
NO_CODE = np.iinfo(np.uint64).max
CORRECTED = 5_000_000  # nanoseconds; a smaller difference may as well be the way between two points


def correction(offset: int | None) -> int:
    """What is taken off the time stamps of a capture whose clock is ahead so much."""
    return offset if offset is not None and abs(offset) >= CORRECTED else 0


def clock_offsets(
    beginnings: Sequence[tuple[int, Array]], last: Callable[[int], int | None] = lambda _: None
) -> list[int | None]:
    """By how much each capture's clock is ahead; None where that does not show.

    ``beginnings``: of each capture the time of its first packet, and what its packets are known again by; ``last``: the
    time of a capture's last packet, where that is known. The clock of the first point of those that have packets in
    common counts as right.
    """
    marks = [one for _, one in beginnings]
    point_of = _points([one["place"] for one in marks])
    for alike in _alike(point_of):
        if all(any(_is_another(marks, (k, j), last) for j in alike if j != k) for k in alike):
            for k in alike:
                point_of[k] = k
    begin: dict[int, tuple[int, int]] = {}  # of points: by the time, and where that is the same, by what is there first
    for k, point in enumerate(point_of):
        first = beginnings[k][0], int(marks[k]["code"].min(initial=NO_CODE))
        begin[point] = min(begin.get(point, first), first)
    order = sorted(begin, key=begin.__getitem__)
    if len(order) < 2:
        return [None] * len(beginnings)
    pairs = _differences(marks, point_of)
    offsets: dict[int, int] = {}
    for number, point in enumerate(order):
        agreed = [(*pairs[other, point], other) for other in order[:number] if (other, point) in pairs]
        if agreed:
            _, offset, other = max(agreed, key=lambda one: one[:2])
            offsets[point] = offset + offsets.get(other, 0)
    return [offsets.get(point) for point in point_of]


def _points(places: Sequence[Array]) -> list[int]:
    """Of which capture point each capture is, as the number of one of its captures.

    Captures that saw packets at the same place are of one, which has one clock: files of a rotation, of queues. So are
    those that have no place in common, where others have places of both.
    """
    before = list(range(len(places)))  # a capture of the same point, up to one that names itself
    seen: dict[int, int] = {}  # the first capture that saw a place

    def named(k: int) -> int:
        while before[k] != k:
            before[k] = k = before[before[k]]
        return k

    for k, some in enumerate(places):
        for place in set(some.tolist()):
            one, other = named(k), named(seen.setdefault(place, k))
            before[max(one, other)] = min(one, other)
    return [named(k) for k in range(len(places))]


def _alike(point_of: Sequence[int]) -> Iterator[list[int]]:
    """Captures that saw the same places, where they are few."""
    found: dict[int, list[int]] = {}
    for k, point in enumerate(point_of):
        found.setdefault(point, []).append(k)
    return (some for some in found.values() if 2 <= len(some) <= MOST_ALIKE)


def _is_another(marks: Sequence[Array], pair: tuple[int, int], last: Callable[[int], int | None]) -> bool:
    """Whether two captures of the same place were taken at the same time, by clocks that differ.

    Then they have the very same packets of the places that both saw, and overlap by these clocks as well. What a network
    repeats is no evidence: of a rotation one file ends before the other begins, and of several queues each has a part of
    the packets.
    """
    one, other = (_once(marks[k], marks[j]["place"]) for k, j in (pair, pair[::-1]))
    _, mine, its = np.intersect1d(one["code"], other["code"], assume_unique=True, return_indices=True)
    if len(mine) < FEWEST_ALIKE:
        return False
    gaps = other["time"][its] - one["time"][mine]
    middle = int(np.sort(gaps)[len(gaps) // 2])
    then = other["time"] - middle
    both = max(one["time"].min(), then.min()), min(one["time"].max(), then.max())
    most = max(np.count_nonzero((times >= both[0]) & (times <= both[1])) for times in (one["time"], then))
    if abs(middle) < CORRECTED or np.count_nonzero(np.abs(gaps - middle) <= AGREE) < SHARE * most:
        return False
    earlier, later = sorted(pair, key=lambda k: int(marks[k]["time"].min()))
    begin = int(marks[later]["time"].min())
    return begin <= int(marks[earlier]["time"].max()) or begin <= (last(earlier) or begin - 1)


def _once(marks: Array, places: Array) -> Array:
    """Those of a capture's packets at some places that it does not have twice."""
    marks = marks[np.isin(marks["place"], places)]
    _, first, count = np.unique(marks["code"], return_index=True, return_counts=True)
    once: Array = marks[first[count == 1]]
    return once


def _differences(marks: Sequence[Array], point_of: Sequence[int]) -> dict[tuple[int, int], tuple[int, int]]:
    """Of two points with packets in common: how many these are, and by how much the second's time stamps are higher."""
    found = np.concatenate(marks)
    point = np.repeat(point_of, [len(one) for one in marks])
    order = np.lexsort((point, found["code"]))
    code, time, point = found["code"][order], found["time"][order], point[order]
    same = code[1:] == code[:-1]
    twice = same & (point[1:] == point[:-1])
    # A packet that one point has twice says nothing: which of them the other point has is not known.
    alone = ~(np.append(twice, False) | np.append(False, twice))
    both = np.flatnonzero(same & alone[1:] & alone[:-1])
    gaps: dict[tuple[int, int], list[int]] = {}
    for one, other, gap in zip(
        point[both].tolist(), point[both + 1].tolist(), (time[both + 1] - time[both]).tolist(), strict=True
    ):
        gaps.setdefault((one, other), []).append(gap)
    agreed: dict[tuple[int, int], tuple[int, int]] = {}
    for (one, other), some in gaps.items():
        some.sort()
        middle = some[len(some) // 2]
        if len(some) >= FEWEST and some[len(some) * 3 // 4] - some[len(some) // 4] <= 2 * AGREE:
            agreed[one, other] = len(some), middle
            agreed[other, one] = len(some), -middle
    return agreed
