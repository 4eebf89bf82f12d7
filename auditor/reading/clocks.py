"""Clocks of capture points: by how much one is ahead of another, as packets show that both have captured.

Both sides of a router, the two ends of a line, the machines of a cluster: each has its own clock. Where several packets lie
in two captures, and the differences of their time stamps agree, that is the difference of the clocks, and the way between.

One clock may give the same picture: a network that repeats everything, a mirror that is late. What such a clock would not
show decides (packets at both times in one capture, captures of the same time, differences of several captures that add up);
where nothing does, no time is corrected, and it is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
FEWEST = 4  # packets that two points must have in common
AGREE = 5_000_000  # nanoseconds within which half of the differences must lie around the middle one
MOST_ALIKE = 8  # captures of one place that are compared; a network is mirrored to few hosts
# Packets, and which part of all at that time, that two captures of the same place must have in common.
FEWEST_ALIKE, SHARE = 8, 0.9
NO_CODE = np.iinfo(np.uint64).max
CORRECTED = 5_000_000  # nanoseconds; a smaller difference may as well be the way between two points
# A smaller one is not corrected where the captures are of different times: copies are known again without (``flows.copies``).
DECIDED = 150_000_000


class Offsets(NamedTuple):
    """By how much the clock of each of some captures is ahead, and by how much it may be, though nothing decides that."""

    known: list[int | None]
    unsure: list[int | None]


def correction(offset: int | None) -> int:
    """What is taken off the time stamps of a capture whose clock is ahead so much."""
    return offset if offset is not None and abs(offset) >= CORRECTED else 0


def clock_offsets(
    beginnings: Sequence[tuple[int, Array]], last: Callable[[int], int | None] = lambda _: None
) -> Offsets:
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
    nothing: list[int | None] = [None] * len(beginnings)
    if len(order) < 2:
        return Offsets(nothing, nothing)
    pairs = _differences(marks, point_of)
    offsets: dict[int, int] = {}
    unsure: dict[int, int] = {}
    for number, point in enumerate(order):
        agreed = [(*pairs[other, point], other) for other in order[:number] if (other, point) in pairs]
        if not agreed:
            continue
        _, offset, other = max(agreed, key=lambda one: one[:2])
        if CORRECTED <= abs(offset) < DECIDED and not _overlap(marks, point_of, (other, point), last):
            unsure[point] = offset + unsure.get(other, offsets.get(other, 0))
        else:
            offsets[point] = offset + unsure.get(other, offsets.get(other, 0))
    if not _add_up(pairs, offsets | unsure):
        offsets, unsure = {}, offsets | unsure
    return Offsets([offsets.get(point) for point in point_of], [unsure.get(point) for point in point_of])


def _overlap(
    marks: Sequence[Array], point_of: Sequence[int], pair: tuple[int, int], last: Callable[[int], int | None]
) -> bool:
    """Whether two points have captured at the same time, by their own clocks."""
    captures = [[k for k, point in enumerate(point_of) if point == one and len(marks[k])] for one in pair]
    begins = [min(int(marks[k]["time"].min()) for k in some) for some in captures]
    earlier, begin = captures[begins.index(min(begins))], max(begins)
    return any(int(marks[k]["time"].max()) >= begin or (last(k) or begin - 1) >= begin for k in earlier)


def _add_up(pairs: Mapping[tuple[int, int], tuple[int, int]], offsets: Mapping[int, int]) -> bool:
    """Whether the differences of all pairs are those of clocks: of a network that repeats itself they go in circles."""
    return all(
        abs(offsets.get(other, 0) - offsets.get(one, 0) - gap) <= 3 * AGREE for (one, other), (_, gap) in pairs.items()
    )


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
    if any(_repeats(marks[k], abs(middle)) for k in pair):
        return False
    earlier, later = sorted(pair, key=lambda k: int(marks[k]["time"].min()))
    begin = int(marks[later]["time"].min())
    return begin <= int(marks[earlier]["time"].max()) or begin <= (last(earlier) or begin - 1)


def _repeats(marks: Array, gap: int) -> bool:
    """Whether a capture itself has its packets twice, so much later: the network repeats them, it is no other clock."""
    if not np.count_nonzero(marks["time"] + (gap + AGREE) <= marks["time"].max()):
        return False
    some = marks[np.lexsort((marks["time"], marks["code"]))]
    apart = some["time"][1:] - some["time"][:-1]
    again = np.count_nonzero((some["code"][1:] == some["code"][:-1]) & (np.abs(apart - gap) <= AGREE))
    return bool(2 * again >= np.count_nonzero(marks["time"] + (gap + AGREE) <= marks["time"].max()))


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
    code, time, point, place = found["code"][order], found["time"][order], point[order], found["place"][order]
    same = code[1:] == code[:-1]
    twice = same & (point[1:] == point[:-1])
    # A packet that one point has twice says nothing: which of them the other point has is not known.
    alone = ~(np.append(twice, False) | np.append(False, twice))
    both = np.flatnonzero(same & alone[1:] & alone[:-1])
    gaps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    columns = point[both], point[both + 1], time[both + 1] - time[both], place[both]
    for one, other, gap, at in zip(*(column.tolist() for column in columns), strict=True):
        gaps.setdefault((one, other), []).append((gap, at))
    agreed: dict[tuple[int, int], tuple[int, int]] = {}
    for (one, other), some in gaps.items():
        middle = _agreed([gap for gap, _ in some])
        if middle is not None and _in_each_direction(some, middle):
            agreed[one, other] = len(some), middle
            agreed[other, one] = len(some), -middle
    return agreed


def _agreed(gaps: list[int]) -> int | None:
    """The middle one of some differences, if they are enough and half of them lie around it."""
    gaps.sort()
    if len(gaps) < FEWEST or gaps[len(gaps) * 3 // 4] - gaps[len(gaps) // 4] > 2 * AGREE:
        return None
    return gaps[len(gaps) // 2]


def _in_each_direction(gaps: Sequence[tuple[int, int]], middle: int) -> bool:
    """Whether packets of each place, so of each direction, say the same: a queue between two points delays one of them."""
    by_place: dict[int, list[int]] = {}
    for gap, place in gaps:
        by_place.setdefault(place, []).append(gap)
    of_each = [sorted(some)[len(some) // 2] for some in by_place.values() if len(some) >= FEWEST]
    return all(abs(one - middle) <= 2 * AGREE for one in of_each)
