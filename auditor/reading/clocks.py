"""Clocks of capture points: by how much one is ahead of another, as packets show that both have captured.

Both sides of a router, the two ends of a line, the machines of a cluster: each has its own clock. Where several packets lie
in two captures, and the differences of their time stamps agree, that is the difference of the clocks, and the way between.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FEWEST = 4  # packets that two captures must have in common
AGREE = 5_000_000  # nanoseconds within which half of the differences must lie around the middle one
CORRECTED = 5_000_000  # nanoseconds; a smaller difference may as well be the way between two points


def correction(offset: int | None) -> int:
    """What is taken off the time stamps of a capture whose clock is ahead so much."""
    return offset if offset is not None and abs(offset) >= CORRECTED else 0


def clock_offsets(beginnings: Sequence[tuple[int, Array]]) -> list[int | None]:
    """By how much each capture's clock is ahead; None where that does not show.

    ``beginnings``: of each capture the time of its first packet, and what its packets are known again by.
    The clock of the first capture of those that have packets in common counts as right.
    """
    order = sorted(range(len(beginnings)), key=lambda k: beginnings[k][0])
    pairs = _differences(beginnings, order)
    offsets: list[int | None] = [None] * len(beginnings)
    for place, k in enumerate(order):
        known = [(pairs[j, k], j) for j in order[:place] if (j, k) in pairs]
        agreed = [(count, offset + (offsets[j] or 0)) for (count, offset), j in known]
        if agreed:
            offsets[k] = max(agreed)[1]
    if any(map(correction, offsets)):
        _take_over(offsets, order, beginnings)
    return offsets


def _take_over(offsets: list[int | None], order: Sequence[int], beginnings: Sequence[tuple[int, Array]]) -> None:
    """Give captures that have nothing in common with others the offset of those before them that saw the same places.

    Of a capture only the beginning is looked at: where one point's packets lie in one file and the other's in many, most
    of these have nothing in common with the beginning of that one. But they are of one point, and have its clock.
    """
    seen_by: dict[int, int] = {}  # the offset of the last capture that saw a place
    for k in order:
        places = np.unique(beginnings[k][1]["place"]).tolist()
        if offsets[k] is None:
            votes = Counter(seen_by[place] for place in places if place in seen_by)
            offsets[k] = votes.most_common(1)[0][0] or None if votes else None
        seen_by.update(dict.fromkeys(places, offsets[k] or 0))


def _differences(
    beginnings: Sequence[tuple[int, Array]], captures: Sequence[int]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Of two captures with packets in common: how many these are, and by how much the second's time stamps are higher.

    ``captures``: which these are, in an order that has nothing to do with how they were given.
    """
    which = np.repeat(captures, [len(beginnings[k][1]) for k in captures])
    if not len(which):
        return {}
    marks = np.concatenate([beginnings[k][1] for k in captures])
    places = [set(one["place"].tolist()) for _, one in beginnings]
    order = np.argsort(marks["code"], kind="stable")
    code, capture, time, place = marks["code"][order], which[order], marks["time"][order], marks["place"][order]
    same = code[1:] == code[:-1]
    twice = same & (capture[1:] == capture[:-1])
    # A packet that one capture has twice says nothing: which of them the other capture has is not known.
    alone = ~(np.append(twice, False) | np.append(False, twice))
    # Nor does one that was seen at the same place: it may have been sent again, and again as it was.
    both = np.flatnonzero(same & alone[1:] & alone[:-1] & (place[1:] != place[:-1]))
    found: dict[tuple[int, int], list[int]] = {}
    for at in both.tolist():
        one, other = int(capture[at]), int(capture[at + 1])
        # One point that sees packets at both places: files of a rotation, and the time is that of the way between them.
        if int(place[at]) not in places[other] and int(place[at + 1]) not in places[one]:
            found.setdefault((one, other), []).append(int(time[at + 1] - time[at]))
    agreed: dict[tuple[int, int], tuple[int, int]] = {}
    for (one, other), gaps in found.items():
        gaps.sort()
        middle = gaps[len(gaps) // 2]
        if len(gaps) >= FEWEST and gaps[len(gaps) * 3 // 4] - gaps[len(gaps) // 4] <= 2 * AGREE:
            agreed[one, other] = len(gaps), middle
            agreed[other, one] = len(gaps), -middle
    return agreed
