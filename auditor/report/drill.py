"""From a flow back to its packets: as scapy has them, or as tshark dissects them, through pyshark."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from auditor.capture.inputs import Input
from auditor.capture.write import pcap_header, pcap_record
from auditor.decode import frames as frame_numbers
from auditor.errors import AuditError
from auditor.prefixes import parse_address
from auditor.reading.clocks import correction
from auditor.report import flow_ids, originals
from auditor.report.results import Results

if TYPE_CHECKING:
    import pyarrow as pa
    from scapy.packet import Packet
    from scapy.plist import PacketList

    from auditor.reading.blocks import Block
    from auditor.reading.merging import Merging
    from auditor.requests.cut import Wanted

MOST_PACKETS = 1_000_000
PROTOCOLS = {"tcp": 6, "udp": 17, "esp": 50, "eapol": 255}


@dataclass(frozen=True)
class Frame:
    """A frame as it was captured."""

    flow_id: int
    capture: str
    number: int  # in that capture
    time: int  # nanoseconds since 1970
    captured: int  # the same by the clock of its capture
    interface: int
    interface_name: str | None
    link_type: int
    wire_length: int
    data: bytes


def frames(result: Results, flow_ids: Iterable[int]) -> Iterator[Frame]:
    """The frames of flows, read again from the captures that hold them, in the order of time.

    Of a datagram that came in fragments there is the one that completed it; a frame with several packets of a flow inside
    comes once. Raises AuditError where a flow is not there, or
    a capture is not; at the end where one is not the one that was audited, byte for byte: then nothing of it counts.
    """
    from auditor.reading.merging import Merging
    from auditor.reading.sources import ordered
    from auditor.requests.cut import packets_of

    rows = _rows(result, list(flow_ids))
    inputs = [_input(result, name) for name in _captures(result, rows)]
    ahead = _offsets(result)
    merging, wanted = Merging(*ordered(inputs, ahead)), _wanted(rows)
    try:
        for block, at, flows, _ in packets_of(merging, wanted):
            packets, last = block.packets.view(np.ndarray), (-1, -1)
            for k, flow in zip(at.tolist(), flows.tolist(), strict=True):
                if (int(packets["frame"][k]), flow) == last:
                    continue
                last = int(packets["frame"][k]), flow
                yield _frame(packets[k], int(wanted.identifier[flow]), block, merging, ahead)
        if merging.failure is not None:
            raise AuditError(merging.failure)
        _verify(result, inputs)
    finally:
        for source in inputs:
            source.forget()


def _frame(packet: Any, flow_id: int, block: "Block", merging: "Merging", ahead: Mapping[str, int]) -> Frame:
    """A decoded packet as it was captured; ``ahead``: by how much the clocks of captures are."""
    begin, captured, which = int(packet["begin"]), int(packet["captured"]), int(packet["interface"])
    capture = merging.control.captures[frame_numbers.capture(int(packet["frame"]))]
    return Frame(
        flow_id,
        capture,
        frame_numbers.number(int(packet["frame"])),
        int(packet["time"]),
        int(packet["time"]) + correction(ahead.get(capture)),
        which,
        merging.interfaces.names[which],
        merging.interfaces.link_types[which],
        max(int(packet["wire_length"]), captured),  # packets inside of it have lengths of their own
        block.buffer[begin : begin + captured].tobytes(),
    )


def _input(result: Results, capture: str) -> Input:
    """A capture that was audited, where it is now."""
    source = originals.source(result, capture)
    if source is None:
        what = "the capture is not there any more, or was no file: packets cannot be shown"
        raise AuditError(f"{capture}: {what}; --capture says where it is")
    return source


def _verify(result: Results, inputs: Iterable[Input]) -> None:
    """Raise AuditError where what was read is not what was audited."""
    recorded = {row["capture"]: row["sha256"] for row in result.rows("captures", "capture", "sha256")}
    for source in inputs:
        if source.sha256() != recorded[source.name] or source.was_changed():
            raise AuditError(f"{source.name}: is not the capture that was audited: its SHA-256 is another one")


def _rows(result: Results, flow_ids: list[int]) -> "pa.Table":
    """The rows of some flows."""
    rows = result.about("flows", flow_ids)
    identifiers = set(rows.column("flow_id").to_pylist())
    missing = [number for number in flow_ids if number not in identifiers]
    if missing:
        raise AuditError(f"no flow has the number {missing[0]}")
    return rows


def _captures(result: Results, rows: "pa.Table") -> list[str]:
    """The captures that may hold packets of some flows: where all were audited as one, those of their times."""
    if result.is_apart:
        names = set(rows.column("capture").to_pylist())
        if len(names) != 1:
            raise AuditError("the flows are not of one capture")
        return [str(name) for name in names]
    first, last = _times(rows, "started"), _times(rows, "ended")
    listed = result.rows("captures", "capture", "packets", "started", "ended")
    some = (row for row in listed if row["packets"])
    return [row["capture"] for row in some if ((first <= row["ended"]) & (last >= row["started"])).any()]


def _offsets(result: Results) -> dict[str, int]:
    """By how much the clocks of captures were found to be ahead, in nanoseconds."""
    listed = result.rows("captures", "capture", "clock_offset_s")
    return {row["capture"]: round(row["clock_offset_s"] * 1e9) for row in listed if row["clock_offset_s"] is not None}


def _times(rows: "pa.Table", name: str) -> Any:
    return np.array([one.value for one in rows.column(name)], np.int64)


def _wanted(rows: "pa.Table") -> "Wanted":
    """What is needed to find the packets of some flows."""
    from auditor.recognise.numbers import TLS
    from auditor.requests.cut import Wanted

    def half(end: str, which: int) -> Any:
        return np.array([parse_address(text)[which] for text in rows.column(f"{end}_ip").to_pylist()], np.uint64)

    def number(name: str) -> Any:
        return np.array([value or 0 for value in rows.column(name).to_pylist()], np.int64)

    count = rows.num_rows
    return Wanted(
        index=np.arange(count),
        identifier=number("flow_id"),
        kind=np.full(count, TLS),
        protocol=np.array([PROTOCOLS[name] for name in rows.column("transport").to_pylist()]),
        client_high=half("client", 0),
        client_low=half("client", 1),
        client_port=number("client_port"),
        server_high=half("server", 0),
        server_low=half("server", 1),
        server_port=number("server_port"),
        started=_times(rows, "started"),
        ended=_times(rows, "ended"),
        randoms=np.full(count, None, object),
    )


def packet_of(frame: Frame) -> "Packet":
    """A frame as scapy has it."""
    from scapy.config import conf
    from scapy.packet import Raw

    # Importing them is what makes scapy know the link layers.
    import scapy.layers.all  # noqa: F401  isort: skip

    packet = conf.l2types.num2layer.get(frame.link_type, Raw)(frame.data)
    packet.time = frame.time / 1e9
    packet.wirelen = frame.wire_length
    return packet


def packets(result: Results, flow: int | str) -> "PacketList":
    """The packets of a flow as scapy has them."""
    from scapy.plist import PacketList

    flow_id = flow_ids.found(result, flow)
    listed: list[Any] = []
    for frame in frames(result, [flow_id]):
        if len(listed) < MOST_PACKETS:  # but read on: at the end it shows whether it is the capture that was audited
            listed.append(packet_of(frame))
    return PacketList(listed, name=f"flow {flow_ids.whole(flow_id)}")


def write_pcap(captured: Iterable[Frame], out: BinaryIO) -> None:
    """Write frames of one link type as a pcap with nanoseconds."""
    first = True
    for frame in captured:
        if first:
            out.write(pcap_header(frame.link_type))
            first = False
        out.write(pcap_record(frame.time, len(frame.data), frame.wire_length) + frame.data)
    out.flush()


def dissect(result: Results, flow: int | str, keylog: str | Path | None = None) -> list[Any]:
    """The packets of a flow as tshark dissects them, through pyshark; with a key log what is inside TLS as well.

    pyshark has an event loop of its own, in a thread: it works in Jupyter, where one runs already.
    """
    from auditor.requests import tshark
    from auditor.requests.opener import PrivateFile

    program = tshark.program()
    if program is None:
        raise AuditError(tshark.missing())
    if keylog is not None and not Path(keylog).is_file():
        raise AuditError(f"{keylog}: no such file")
    flow_id = flow_ids.found(result, flow)
    dissected: list[Any] = []
    failed: list[Exception] = []
    kept = PrivateFile()

    def load() -> None:
        from auditor.requests.dissection import Dissection

        file = kept.handle
        path = f"{tshark.OPEN}/{file}" if isinstance(file, int) else file
        preferences = {"tls.keylog_file": str(Path(keylog).resolve())} if keylog is not None else None
        try:
            with Dissection(path, program, kept.inherited(), override_prefs=preferences) as capture:
                dissected.extend(capture)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            failed.append(error)

    try:
        write_pcap(frames(result, [flow_id]), kept.file)
        thread = threading.Thread(target=load, name="dissecting")
        thread.start()
        thread.join()
    finally:
        kept.close()
    if failed:
        raise AuditError(f"tshark could not dissect flow {flow_ids.whole(flow_id)}: {failed[0]}")
    return dissected
