"""The packets that sFlow samples: switches send the beginning of one in so many, which are packets of flows of their own.

Reports are few among many packets, so this is plain Python between the two kernels. A sample is decoded like any packet,
and lies in a tunnel of its own kind: what it says is what the switch says.
"""

from collections import Counter
from collections.abc import Iterator
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from auditor.capture import write
from auditor.capture.beginnings import PCAP
from auditor.capture.pcap import ANY_FRACTION, LARGEST_PACKET, RECORD_BYTES
from auditor.capture.pcapng import INTERFACE
from auditor.decode.frames import capture
from auditor.decode.layers import SFLOW_SAMPLE, layer_of_link_type
from auditor.decode.packet import DECODED
from auditor.flows import state as S
from auditor.reading import counting, scan

ETHERNET, RAW_IP = 1, 101  # link types
LINKS = {1: ETHERNET, 11: RAW_IP, 12: RAW_IP}  # sFlow's header_protocol: Ethernet, IPv4, IPv6
AGENT = {1: 4, 2: 16}  # bytes of an agent's address, by its type
FLOW_SAMPLE, EXPANDED_SAMPLE, RAW_HEADER = 1, 3, 1
BEFORE_RECORDS = {FLOW_SAMPLE: 28, EXPANDED_SAMPLE: 40}  # bytes of a sample before the number of its records
PAIR, RAW = Struct(">II"), Struct(">IIII")


class SampledPacket(NamedTuple):
    """A sampled packet's beginning: its link type, its length on the wire, and what there is of it."""

    link_type: int
    length: int
    data: bytes


def _parts(data: bytes, at: int, count: int) -> Iterator[tuple[int, bytes]]:
    """(type, contents) of samples or records, as far as they are whole."""
    for _ in range(count):
        if at + PAIR.size > len(data):
            return
        kind, length = PAIR.unpack_from(data, at)
        at += PAIR.size
        if at + length > len(data):
            return
        yield kind, data[at : at + length]
        at += length


def samples(data: bytes) -> Iterator[SampledPacket]:
    """The sampled packets in a datagram of sFlow version 5 (sflow.org, sFlow Datagram Format)."""
    size = AGENT.get(int.from_bytes(data[4:8], "big"))
    if size is None or data[:4] != b"\0\0\0\5":
        return
    at = 8 + size + 12
    for kind, sample in _parts(data, at + 4, int.from_bytes(data[at : at + 4], "big")):
        before = BEFORE_RECORDS.get(kind)
        if before is None:
            continue
        for what, record in _parts(sample, before + 4, int.from_bytes(sample[before : before + 4], "big")):
            if what != RAW_HEADER or len(record) < RAW.size:
                continue
            protocol, length, stripped, captured = RAW.unpack_from(record)
            head = record[RAW.size : RAW.size + captured]
            if protocol in LINKS and head:
                yield SampledPacket(LINKS[protocol], max(len(head), length - stripped), head)


class Samples:
    """Takes the sampled packets out of reports, and counts them by capture."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()  # by capture
        self.left_out: Counter[int] = Counter()

    def add(self, data: S.Array, packets: S.Array, count: int) -> tuple[S.Array, int]:
        """Put the samples of a block's reports behind each; the bytes that all packets lie in, and how many these are.

        ``packets`` are the block's ``count`` ones, with what room there is behind them.
        """
        reports = np.zeros(count, np.int64)
        reports = reports[: counting.list_reports(data, packets[:count], reports)]
        found = [
            (at, sample)
            for at in reports.tolist()
            for sample in samples(data[packets["payload"][at] :][: packets["payload_captured"][at]].tobytes())
        ]
        room = len(packets) - count
        self.left_out.update(capture(int(packets["frame"][at])) for at, _ in found[room:])
        found = found[:room]
        if not found:
            return data, count
        rows, added = self._decoded(packets, found, len(data))
        order = np.argsort(np.concatenate([np.arange(count), [at for at, _ in found]]), kind="stable")
        kept = np.flatnonzero(np.concatenate([np.ones(count, bool), rows["status"] == DECODED])[order])
        total = len(kept)
        packets[:total] = np.concatenate([packets[:count], rows])[order][kept]
        self.counts.update(capture(frame) for frame in rows["frame"][rows["status"] == DECODED].tolist())
        return np.concatenate([data, added]), total

    def _decoded(
        self, packets: S.Array, found: list[tuple[int, SampledPacket]], offset: int
    ) -> tuple[S.Array, S.Array]:
        """The samples as packets, and the bytes that they lie in, which will be ``offset`` bytes further on."""
        records, rows = [], S.packets(len(found))
        for at, sample in found:
            time, size = int(packets["time"][at]), len(sample.data)
            records.append(write.pcap_record(time, size, sample.length) + sample.data)
        ends = np.cumsum([0, *map(len, records)])
        added = np.frombuffer(b"".join(records), np.uint8)
        interfaces = S.records(0, INTERFACE)
        for number, (at, sample) in enumerate(found):
            layer, begin, end = layer_of_link_type(sample.link_type), int(ends[number]), int(ends[number + 1])
            layout = np.array([PCAP, 0, 1, layer, LARGEST_PACKET, RECORD_BYTES, 0, ANY_FRACTION], np.int64)
            scan.read_batch(added, begin, end, layout, interfaces, 0, rows[number : number + 1])
            self._place(rows[number], packets[at])
        for name in ("position", "end", "payload"):
            rows[name] += offset
        return rows, added

    @staticmethod
    def _place(row: Any, report: Any) -> None:
        """A sample is where its report is: in that frame, and in a tunnel from the switch to the collector."""
        for name in ("frame", "interface", "begin", "captured"):
            row[name] = report[name]
        row["outer_tunnel" if row["tunnel"] else "tunnel"] = SFLOW_SAMPLE << 56
        row["outer_source"], row["outer_target"] = (
            report[f"{end}_low"] ^ report[f"{end}_high"] for end in ("source", "target")
        )
        row["outer_source_mac"], row["outer_target_mac"] = report["source_mac"], report["target_mac"]
        row["outer_vlan_count"] = 0
