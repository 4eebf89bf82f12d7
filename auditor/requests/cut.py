"""Cutting some flows out of a capture in a second pass, for programs that are too slow for all of it.

The packets are written anew, with addresses that name the flow: whatever carried them (tunnels, fragments, 802.11, …) is
undone by our own decoder, and ports that say nothing do not matter to the reader.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from auditor.capture.write import pcap_header, pcap_record
from auditor.decode.packet import DECODED, TCP, UDP
from auditor.errors import InputError
from auditor.reading.blocks import Block
from auditor.reading.merging import Merging
from auditor.recognise.numbers import HTTP, QUIC, SMTP, TLS
from auditor.tables.columns import mixed

Array = np.ndarray[Any, Any]

LINK_RAW = 101  # LINKTYPE_RAW: a packet begins with its IP header
SERVER = bytes([192, 0, 2, 1])  # RFC 5737
CLIENT_PORT = 40000
MOST_BYTES = 1 << 30  # written of one capture
# The port by which readers know what a flow's payload is.
PORTS = {TLS: 443, QUIC: 443, HTTP: 80, SMTP: 25}


@dataclass(eq=False, repr=False)
class Wanted:
    """Flows to be cut out, one row each."""

    index: Array  # place of the flow in its batch
    identifier: Array
    kind: Array
    protocol: Array
    client_high: Array
    client_low: Array
    client_port: Array
    server_high: Array
    server_low: Array
    server_port: Array
    started: Array  # nanoseconds: packets before that are left out
    ended: Array
    randoms: Array  # of lists: client randoms (their first halves, as two numbers) by which its secrets are found

    def __len__(self) -> int:
        return len(self.identifier)

    def take(self, at: Array) -> "Wanted":
        return Wanted(**{name: getattr(self, name)[at] for name in self.__dataclass_fields__})

    @classmethod
    def joined(cls, parts: "list[Wanted]") -> "Wanted":
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(eq=False, repr=False)
class Cut:
    """Where each packet that was written comes from: its frame in the capture, and its time in nanoseconds."""

    frames: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    bytes: int = 0
    capped: bool = False


def packets_of(merging: Merging, wanted: Wanted) -> Iterator[tuple[Block, Array, Array, Array]]:
    """Blocks with packets of wanted flows: the block, their numbers in it, their flows, whether the client sent them."""
    if not len(wanted):
        return
    client = mixed(wanted.client_high, wanted.client_low, wanted.client_port)
    server = mixed(wanted.server_high, wanted.server_low, wanted.server_port)
    codes = client + server
    order = np.lexsort((wanted.started, codes))
    codes = codes[order]
    for block in merging:
        packets = block.packets.view(np.ndarray)[: block.count]
        sender = mixed(packets["source_high"], packets["source_low"], packets["source_port"])
        code = sender + mixed(packets["target_high"], packets["target_low"], packets["target_port"])
        at = np.flatnonzero(np.isin(code, codes) & (packets["status"] == DECODED))
        # Of several flows between the same ends the last that had begun.
        first, last = np.searchsorted(codes, code[at], "left"), np.searchsorted(codes, code[at], "right")
        time = packets["time"][at]
        flow = np.full(len(at), -1)
        for step in range(int((last - first).max()) if len(at) else 0):
            row = order[np.minimum(first + step, len(order) - 1)]
            fits = (first + step < last) & (wanted.started[row] <= time) & (time <= wanted.ended[row])
            fits &= wanted.protocol[row] == packets["protocol"][at]
            flow[fits] = row[fits]
        at, flow = at[flow >= 0], flow[flow >= 0]
        if len(at):
            yield block, at, flow, sender[at] == client[flow]


def _addresses(flow: int, from_client: bool) -> bytes:
    """Source and target address of a flow's packets."""
    client = bytes([10, flow >> 16 & 255, flow >> 8 & 255, flow & 255])
    return client + SERVER if from_client else SERVER + client


def write(merging: Merging, wanted: Wanted, out: BinaryIO) -> Cut:
    """Write the wanted flows as a pcap of raw IPv4 packets; flow n has the client 10.x.y.z with n = xyz."""
    out.write(pcap_header(LINK_RAW))
    cut = Cut()
    for block, at, flows, from_client in packets_of(merging, wanted):
        if cut.capped:
            continue
        assert block.data is not None
        data, packets = block.data, block.packets.view(np.ndarray)
        for k, flow, forth in zip(at.tolist(), flows.tolist(), from_client.tolist(), strict=True):
            packet = packets[k]
            port = PORTS[int(wanted.kind[flow])]
            ports = (CLIENT_PORT, port) if forth else (port, CLIENT_PORT)
            begin, captured = int(packet["payload"]), int(packet["payload_captured"])
            length = max(captured, int(packet["payload_wire"]))
            if wanted.protocol[flow] == TCP:
                sequence, acknowledged = int(packet["sequence"]), int(packet["acknowledged"])
                flags = int(packet["tcp_flags"])
                head = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledged, 0x50, flags, 0xFFFF, 0, 0)
            else:
                head = struct.pack(">HHHH", *ports, min(8 + length, 0xFFFF), 0)
            total = 20 + len(head) + length
            protocol = TCP if wanted.protocol[flow] == TCP else UDP
            ip = struct.pack(">BBHHHBBH", 0x45, 0, total if total < 1 << 16 else 0, 0, 0, 64, protocol, 0)
            ip += _addresses(flow, forth)
            size = len(ip) + len(head) + captured
            out.write(pcap_record(int(packet["time"]), size, total) + ip + head)
            out.write(data[begin : begin + captured].tobytes())
            cut.frames.append(int(packet["frame"]))
            cut.times.append(int(packet["time"]))
            cut.bytes += size
        if cut.bytes > MOST_BYTES:
            cut.capped = True
    out.flush()
    if merging.failure is not None:
        raise InputError(merging.failure)
    return cut
