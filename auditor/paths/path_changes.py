"""Flows that went elsewhere in their middle: from which frame on, from where to where."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from auditor.decode.frames import words as frame_words
from auditor.flows.oriented import ends_text, vlan_text
from auditor.paths.frames import FOREIGN
from auditor.paths.gathering import EvidenceGathering
from auditor.paths.positions import DEEPEST
from auditor.tables.columns import each_once

Array = np.ndarray[Any, Any]
UNKNOWN = -1
MOST_LISTED = 3  # changes of a direction that are listed one by one


def moment(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds / 1e9, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def moves(g: EvidenceGathering) -> tuple[Array, Array, Array]:
    """(time, frame, words) of the first change of each flow within itself; 0 and None where there is none.

    A change is reported if a link is known of what was before or after it. Packets that were seen at both places show two
    places of one way, and no change.
    """
    count, frames = len(g.flows), g.frames
    when, at, words = np.zeros(count, np.int64), np.zeros(count, np.int64), np.full(count, None, object)
    if not g.fits:  # without links no change is known
        return when, at, words
    label, names = _labels(g)
    known = label != UNKNOWN
    several = np.bincount(frames.side[frames.positions.packets > 0], minlength=len(frames.total)) > 1
    # The path that most packets were seen on has not seen them all: some went elsewhere.
    best = np.zeros(len(frames.total))
    for code in each_once(label[known]).tolist():
        best = np.maximum(best, frames.coverage(label == code))
    moved = several & (best > 0) & (best < frames.total)
    rows = np.flatnonzero(moved[frames.side] & (frames.positions.packets > 0))
    for side, mine in _grouped(frames.side[rows], rows):
        changes = _changes(g, mine, label, names)
        flow = side // 2
        if changes and (when[flow] == 0 or changes[0][0] < when[flow]):
            when[flow], at[flow] = changes[0][:2]
            words[flow] = "; ".join(text for _, _, text in changes[:MOST_LISTED])
    return when, at, words


def _labels(g: EvidenceGathering) -> tuple[Array, list[str]]:
    """The path of the strongest link that each position fits, as a number of ``names``."""
    label, strength = np.full(len(g.flows.positions), UNKNOWN), np.zeros(len(g.flows.positions))
    names: list[str] = []
    for link in g.network.links():
        fit = g.fits[link.name]
        if link.path not in names:
            names.append(link.path)
        if not fit.some:
            continue
        power = np.where(fit.code > 0, 10 - fit.code, 0)
        better = power > strength
        label[better], strength[better] = names.index(link.path), power[better]
    return label, names


def _grouped(keys: Array, rows: Array) -> Iterator[tuple[int, list[int]]]:
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    begins = np.flatnonzero(np.diff(keys, prepend=-1)).tolist()
    for begin, end in pairwise([*begins, len(keys)]):
        yield int(keys[begin]), rows[begin:end].tolist()


def _changes(g: EvidenceGathering, mine: list[int], label: Array, names: list[str]) -> list[tuple[int, int, str]]:
    """(time, frame, words) of the changes of one direction, whose positions are in the order of when they began."""
    positions, changes = g.flows.positions, []
    for before, then in pairwise(mine):
        if label[before] == label[then]:
            continue
        time, frame = int(positions.first_time[then]), int(positions.first_frame[then])
        named = frame_words(frame, g.flows.captures)
        text = f"at {moment(time)}, frame {named}, within the flow: by {_name(g, before, label, names)} before, "
        text += f"by {_name(g, then, label, names)} from then on"
        if positions.last_time[before] > positions.last_time[then]:
            until = frame_words(int(positions.last_frame[before]), g.flows.captures)
            text += f", and as before again until frame {until}"
        changes.append((time, frame, text))
    return changes


def _name(g: EvidenceGathering, at: int, label: Array, names: list[str]) -> str:
    if label[at] != UNKNOWN:
        return names[int(label[at])]
    positions = g.flows.positions
    if g.frames.place[at] == FOREIGN:
        return "a tunnel that nothing is known of"
    tags = int(positions.tags[at])
    depth = next((k for k in range(DEEPEST) if tags >> 12 * k == 0), DEEPEST)
    vlan = f" on VLAN {vlan_text(tags, depth)}" if tags else ""
    macs = ends_text(int(positions.source_mac[at]), int(positions.target_mac[at]))
    return f"no known link ({macs}{vlan})"
