"""The further frames of aggregates: packets of their own flows, which lie in one packet of the capture.

A station sends many small packets (the acknowledgements of TCP above all) as one A-MSDU, a cable modem puts them together
likewise. The decoder takes the first frame for the packet; those behind it are few among many packets, so they are listed
in plain Python and then decoded like any.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from auditor.capture.beginnings import LISTED
from auditor.capture.pcapng import INTERFACE
from auditor.decode.layers import AGGREGATED, AVS, CONCATENATED, DOCSIS, PPI, PRISM, RADIOTAP, WIRELESS
from auditor.decode.packet import BLANK_PACKET, DECODED, FRAGMENT, OTHER_IP
from auditor.flows import state as S
from auditor.reading import scan

HEADER, SHORTEST = 14, 42  # bytes of a frame's addresses and length; and of the shortest frame with IP in it
CABLE_HEADER = 6  # bytes of control, length and checksum, which the length does not count
LAYOUT = np.array([LISTED, 0, 0, 0, 0, 0, 0, 0], np.int64)
# What a frame has of the one that it is in, and where a tunnel is around that (under other link types).
AROUND = ["time", "frame", "begin", "captured", "interface", "wire"]
TUNNEL = ["tunnel", "outer_tunnel", "outer_source", "outer_target", "outer_source_mac", "outer_target_mac"]
WIRELESS_LINKS = {WIRELESS, RADIOTAP, PRISM, AVS, PPI}


class LaterFrames(NamedTuple):
    """Frames behind the first ones: packets, behind which of the given packets each is, and what is counted of them."""

    rows: S.Array
    behind: S.Array
    fragments: int
    about_network: int


def aggregated(block: S.Array, packets: S.Array) -> LaterFrames:
    """The frames with IP in the aggregates of a block's packets; what is theirs is no longer of the first one's length."""
    rows, behind = [], []
    for at in np.flatnonzero(packets["further"]).tolist():
        find = _cable_frames if packets[at]["link"] == DOCSIS else _frames
        for row in find(block, packets[at]):
            rows.append(row)
            behind.append(at)
    listed = np.concatenate(rows).view(np.recarray) if rows else S.packets(0)
    _, _, _, fragments, about_network, _ = scan.read_batch(block, 0, 0, LAYOUT, S.records(0, INTERFACE), 0, listed)
    kept = np.isin(listed["status"], (DECODED, FRAGMENT, OTHER_IP))
    first = np.array(behind, np.int64)[kept]
    np.subtract.at(packets["wire_length"], first, listed["wire_length"][kept])
    return LaterFrames(listed.view(np.ndarray)[kept], first, fragments, about_network)


def _frames(block: S.Array, first: Any) -> Iterator[S.Array]:
    """Rows for the frames behind the first one (IEEE 802.11 9.3.2.2.2): each begins at a multiple of four bytes."""
    at, end = int(first["begin"]) + int(first["further"]), int(first["begin"]) + int(first["captured"])
    while at + SHORTEST <= end:
        head = block[at : at + HEADER].tobytes()
        size = HEADER + int.from_bytes(head[12:], "big")
        if size >= SHORTEST:
            row = BLANK_PACKET.copy()
            for name in AROUND if first["link"] in WIRELESS_LINKS else AROUND + TUNNEL:
                row[name] = first[name]
            row["link"], row["wire_length"] = AGGREGATED, size
            row["target_mac"], row["source_mac"] = (int.from_bytes(part, "big") for part in (head[:6], head[6:12]))
            row["position"], row["end"], row["missing"] = at + HEADER, min(at + size, end), max(0, at + size - end)
            yield row
        at += (size + 3) // 4 * 4


def _cable_frames(block: S.Array, first: Any) -> Iterator[S.Array]:
    """Rows for the frames that a cable modem put behind the first one (DOCSIS MAC 6.2.5.6)."""
    at, end = int(first["begin"]) + int(first["further"]), int(first["begin"]) + int(first["captured"])
    while at + CABLE_HEADER + SHORTEST <= end:
        size = CABLE_HEADER + int.from_bytes(block[at + 2 : at + 4].tobytes(), "big")
        row = BLANK_PACKET.copy()
        for name in AROUND:
            row[name] = first[name]
        row["link"], row["wire_length"] = CONCATENATED, size
        row["position"], row["end"], row["missing"] = at, min(at + size, end), max(0, at + size - end)
        yield row
        at += size
