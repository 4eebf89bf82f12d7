"""Where the packets of each direction were seen: interface, VLAN stack, both MACs, tunnels; how many, from when to when."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from auditor.decode.packet import OUTER_SHIMS
from auditor.flows.oriented import Oriented, vlan_text
from auditor.flows.rows import Rows

Array = np.ndarray[Any, Any]
Columns = Array | dict[str, Array]  # a structured array, or its columns by name
DEEPEST = 5  # tags that are kept of a stack
FIELDS = (
    "source_mac",
    "target_mac",
    "tunnel",
    "outer_tunnel",
    "outer_source",
    "outer_target",
    "outer_source_mac",
    "outer_target_mac",
    "interface",
    "first_frame",
    "last_frame",
    "first_time",
    "last_time",
)
SIDE_COLUMNS = (*FIELDS, "packets", "elsewhere", "copies", "shims", "vlans", "vlan_count", "outer_vlan_count")


@dataclass(eq=False, repr=False)
class Positions:
    """Positions of many flows, a row each, in the order of flows and, of a direction, of when they began.

    ``packets`` were seen there first; ``copies`` there again, when they were seen elsewhere before. ``tags`` are those
    of the innermost frame, ``outer_tags`` of the one on the wire: 12 bits each, the innermost lowest, priority tags
    (VLAN 0, IEEE 802.1Q 9.6) left out.
    """

    flow: Array
    direction: Array  # 0 the client's packets, 1 the server's
    packets: Array
    copies: Array
    source_mac: Array
    target_mac: Array
    tags: Array
    outer_tags: Array
    tunnel: Array
    outer_tunnel: Array
    outer_source: Array
    outer_target: Array
    outer_source_mac: Array
    outer_target_mac: Array
    interface: Array  # number; -1 where the capture has none
    shims: Array  # what stands between tags and IP, as in ``PACKET``; of the innermost frame …
    outer_shims: Array  # … and of the one on the wire
    first_frame: Array
    last_frame: Array
    first_time: Array
    last_time: Array

    def __len__(self) -> int:
        return len(self.flow)

    def has_mac(self, mac: int) -> Array:
        """Whether frames are exchanged with a MAC, in either direction of the wire."""
        return np.asarray((self.source_mac == np.uint64(mac)) | (self.target_mac == np.uint64(mac)))

    def shifted(self, by: int) -> "Positions":
        """The same for flows that come ``by`` places later."""
        return Positions(**{**vars(self), "flow": self.flow + by})

    @classmethod
    def joined(cls, parts: "list[Positions]") -> "Positions":
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def at(self, rows: Array) -> "Positions":
        """Some of them, in some order."""
        return Positions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def tag_text(tags: int) -> str:
    """A stack of tags, from outer to inner."""
    depth = next((k for k in range(DEEPEST) if tags >> 12 * k == 0), DEEPEST)
    return vlan_text(tags, depth) or "none"


def _stacks(rows: Columns) -> tuple[Array, Array]:
    """(tags of the innermost frame, tags of the outermost frame) without priority tags."""
    inside = rows["tunnel"] != 0
    count, outer = rows["vlan_count"].astype(np.uint64), rows["outer_vlan_count"].astype(np.uint64)
    inner = np.minimum(np.where(inside, count - np.minimum(outer, count), count), DEEPEST)
    stacks = [np.zeros(len(count), np.uint64), np.zeros(len(count), np.uint64)]
    depth = [np.zeros(len(count), np.uint64), np.zeros(len(count), np.uint64)]
    for place in range(min(int(count.max(initial=0)), DEEPEST)):
        tag = (rows["vlans"] >> np.uint64(12 * place)) & np.uint64(0xFFF)
        there = (count > place) & (tag != 0)
        for number, mine in enumerate((there & (inner > place), there & (inner <= place))):
            stacks[number] |= np.where(mine, tag << (np.uint64(12) * depth[number]), np.uint64(0))
            depth[number] += mine.astype(np.uint64)
    return stacks[0], np.where(inside, stacks[1], stacks[0])


def _of_rows(flow: Array, direction: Array, packets: Array, rows: Columns) -> Positions:
    tags, outer = _stacks(rows)
    shims = rows["shims"]
    return Positions(
        flow=flow,
        direction=direction,
        packets=packets,
        copies=rows["copies"],
        tags=tags,
        outer_tags=outer,
        shims=shims & ((1 << OUTER_SHIMS) - 1),
        outer_shims=np.where(rows["tunnel"] != 0, shims >> OUTER_SHIMS, shims),
        **{name: rows[name] for name in FIELDS},
    )


def _sides(ends: Oriented) -> tuple[Array, dict[str, Array]]:
    """Which of the sides 0, 1, 0, 1, … of all flows sent packets, and their columns.

    Column by column: copying whole rows, most of which are about something else, takes several times as long.
    """
    sent = [side["packets"] > 0 for side in (ends.client, ends.server)]
    at = np.flatnonzero(np.stack(sent, axis=1))
    places: list[tuple[Any, Any]] = [
        (np.flatnonzero(at % 2 == number), np.flatnonzero(every)) for number, every in enumerate(sent)
    ]
    if len(at) == 2 * len(sent[0]):  # as nearly always: then nothing has to be picked out
        places = [(slice(number, None, 2), slice(None)) for number in range(2)]
    columns = {}
    for name in SIDE_COLUMNS:
        column = np.empty(len(at), ends.client.dtype[name])
        for side, (place, every) in zip((ends.client, ends.server), places, strict=True):
            column[place] = side[name][every]
        columns[name] = column
    return at, columns


def positions(rows: Rows, ends: Oriented) -> Positions:
    """The positions of a batch's flows."""
    at, columns = _sides(ends)
    first = columns["packets"] - columns["elsewhere"]
    if not len(rows.places):
        return _of_rows(at // 2, at % 2, first, columns)
    direction = ((rows.places["side"] != 0) ^ (rows.flows["client"] == 1)[rows.place_flow]).astype(np.int64)
    moved = np.zeros(2 * len(rows), np.int64)
    np.add.at(moved, 2 * rows.place_flow + direction, rows.places["packets"])
    whole = Positions.joined(
        [
            _of_rows(rows.place_flow, direction, rows.places["packets"], rows.places),
            _of_rows(at // 2, at % 2, first - moved[at], columns),
        ]
    )
    return whole.at(np.lexsort((whole.first_frame, whole.first_time, whole.flow)))
