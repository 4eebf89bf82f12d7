"""The further frames of aggregates: packets of their own flows, which lie in one packet of the capture.

A station sends many small packets (the acknowledgements of TCP above all) as one A-MSDU, a cable modem puts them together
likewise, and so does what speaks Ethernet over USB. The decoder takes the first frame for the packet; those behind it are
few among many packets, so they are listed in plain Python and then decoded like any.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from auditor.capture.beginnings import LISTED
from auditor.capture.pcapng import INTERFACE
from auditor.decode.layers import (
    AGGREGATED,
    AVS,
    CONCATENATED,
    DOCSIS,
    PPI,
    PRISM,
    RADIOTAP,
    TRANSFERRED,
    USB_LINUX,
    USB_MMAPPED,
    USB_PCAP,
    WIRELESS,
)
from auditor.decode.packet import BLANK_PACKET, DECODED, FRAGMENT, OTHER_IP
from auditor.decode.usb import LINUX_HEADER, MMAPPED_HEADER, NCM_HEADER, RNDIS_HEADER, RNDIS_PACKET, WINDOWS_HEADER
from auditor.flows import state as S
from auditor.reading import scan

HEADER, SHORTEST = 14, 42  # bytes of a frame's addresses and length; and of the shortest frame with IP in it
CABLE_HEADER = 6  # bytes of control, length and checksum, which the length does not count
LAYOUT = np.array([LISTED, 0, 0, 0, 0, 0, 0, 0], np.int64)
# What a frame has of the one that it is in, and where a tunnel is around that (under other link types).
AROUND = ["time", "frame", "begin", "captured", "interface", "wire"]
TUNNEL = ["tunnel", "outer_tunnel", "outer_source", "outer_target", "outer_source_mac", "outer_target_mac"]
USB_LINKS = {USB_LINUX: LINUX_HEADER, USB_MMAPPED: MMAPPED_HEADER, USB_PCAP: WINDOWS_HEADER}
MOST_TRANSFERRED = 4096  # frames of one transfer
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
        link = packets[at]["link"]
        find = _cable_frames if link == DOCSIS else _usb_frames if link in USB_LINKS else _frames
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


def _usb_frames(block: S.Array, first: Any) -> Iterator[S.Array]:
    """Rows for the frames behind the first one of a transfer over USB: in further messages of RNDIS, or by NCM's pointers."""
    begin = int(first["begin"])
    data = block[begin : begin + int(first["captured"])].tobytes()
    header = int.from_bytes(data[:2], "little") if first["link"] == USB_PCAP else USB_LINKS[int(first["link"])]
    is_ncm = int.from_bytes(data[header : header + 4], "big") == NCM_HEADER
    for at, size in itertools.islice((_pointed if is_ncm else _messages)(data, header), 1, MOST_TRANSFERRED):
        row = BLANK_PACKET.copy()
        for name in AROUND:
            row[name] = first[name]
        row["link"], row["wire_length"] = TRANSFERRED, size
        row["position"], row["end"] = begin + at, begin + min(at + size, len(data))
        row["missing"] = max(0, at + size - len(data))
        yield row


def _pointed(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where the frames are that the first table of NCM's pointers lists (3.3.1), and how long; it ends in zeros."""
    table = at + int.from_bytes(data[at + 10 : at + 12], "little") + 8
    while table + 4 <= len(data):
        begin, size = (int.from_bytes(data[place : place + 2], "little") for place in (table, table + 2))
        if begin == 0 or size == 0 or at + begin >= len(data):
            return
        yield at + begin, size
        table += 4


def _messages(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where the frames of messages of RNDIS that follow each other are, and how long."""
    while at + RNDIS_HEADER <= len(data):
        kind, length, offset, size = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4, 8, 12))
        if kind != RNDIS_PACKET or length < RNDIS_HEADER or at + 8 + offset >= len(data):
            return
        yield at + 8 + offset, size
        at += length
