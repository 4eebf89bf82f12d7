"""From a flow back to its packets: as scapy has them, or as tshark dissects them, through pyshark."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from auditor.capture.inputs import Input
from auditor.capture.write import pcap_header, pcap_record
from auditor.errors import AuditError
from auditor.prefixes import parse_address
from auditor.report import originals
from auditor.report.results import Results

if TYPE_CHECKING:
    from scapy.packet import Packet
    from scapy.plist import PacketList

    from auditor.requests.cut import Wanted

MOST_PACKETS = 1_000_000
PROTOCOLS = {"tcp": 6, "udp": 17, "esp": 50, "eapol": 255}


@dataclass(frozen=True)
class Frame:
    """A frame as it was captured."""

    flow_id: int
    number: int
    time: int  # nanoseconds since 1970
    interface: int
    interface_name: str | None
    link_type: int
    wire_length: int
    data: bytes


def frames(result: Results, flow_ids: Iterable[int], *, verify: bool = False) -> Iterator[Frame]:
    """The frames of flows of one capture, read from it again, in its order.

    Of a datagram that came in fragments there is the one that completed it. With ``verify`` the capture has to be the
    one that was audited, byte for byte. Raises AuditError where a flow is not there, or the capture is not.
    """
    from auditor.requests.cut import packets_of

    capture, wanted = _wanted(result, list(flow_ids))
    path = originals.find(result, capture)
    if path is None:
        what = "the capture is not there any more, or was no file: packets cannot be shown"
        raise AuditError(f"{capture}: {what}; --capture says where it is")
    source = Input(capture, path, size=path.stat().st_size, is_hashed=verify)
    try:
        identifiers = wanted.identifier.tolist()
        for block, at, flows, _ in packets_of(source, wanted):
            packets = block.packets.view(np.ndarray)
            for k, flow in zip(at.tolist(), flows.tolist(), strict=True):
                packet = packets[k]
                begin, captured, which = int(packet["begin"]), int(packet["captured"]), int(packet["interface"])
                yield Frame(
                    identifiers[flow],
                    int(packet["frame"]),
                    int(packet["time"]),
                    which,
                    block.names[which] if which < len(block.names) else None,
                    block.link_types[which],
                    int(packet["wire_length"]),
                    block.buffer[begin : begin + captured].tobytes(),
                )
        if verify:
            source.read_rest()
            recorded = {row["capture"]: row["sha256"] for row in result.rows("captures", "capture", "sha256")}
            if source.sha256() != recorded[capture] or source.was_changed():
                raise AuditError(f"{capture}: is not the capture that was audited: its SHA-256 is another one")
    finally:
        source.forget()


def _wanted(result: Results, flow_ids: list[int]) -> tuple[str, "Wanted"]:
    """The capture of some flows, and what is needed to find their packets in it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from auditor.recognise.numbers import TLS
    from auditor.requests.cut import Wanted

    rows = result.arrow("flows").filter(pc.field("flow_id").isin(pa.array(flow_ids, pa.int64())))
    identifiers = rows.column("flow_id").to_pylist()
    missing = [number for number in flow_ids if number not in identifiers]
    if missing:
        raise AuditError(f"no flow has the number {missing[0]}")
    captures = set(rows.column("capture").to_pylist())
    if len(captures) != 1:
        raise AuditError("the flows are not of one capture")

    def half(end: str, which: int) -> Any:
        return np.array([parse_address(text)[which] for text in rows.column(f"{end}_ip").to_pylist()], np.uint64)

    def number(name: str) -> Any:
        return np.array([value or 0 for value in rows.column(name).to_pylist()], np.int64)

    def time(name: str) -> Any:
        return np.array([one.value for one in rows.column(name)], np.int64)

    count = rows.num_rows
    return str(captures.pop()), Wanted(
        index=np.arange(count),
        identifier=np.array(identifiers, np.int64),
        kind=np.full(count, TLS),
        protocol=np.array([PROTOCOLS[name] for name in rows.column("transport").to_pylist()]),
        client_high=half("client", 0),
        client_low=half("client", 1),
        client_port=number("client_port"),
        server_high=half("server", 0),
        server_low=half("server", 1),
        server_port=number("server_port"),
        started=time("started"),
        ended=time("ended"),
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


def packets(result: Results, flow_id: int) -> "PacketList":
    """The packets of a flow as scapy has them."""
    from itertools import islice

    from scapy.plist import PacketList

    listed = [packet_of(frame) for frame in islice(frames(result, [flow_id]), MOST_PACKETS)]
    return PacketList(listed, name=f"flow {flow_id}")


def write_pcap(captured: Iterable[Frame], out: BinaryIO) -> None:
    """Write frames of one link type as a pcap with nanoseconds."""
    first = True
    for frame in captured:
        if first:
            out.write(pcap_header(frame.link_type))
            first = False
        out.write(pcap_record(frame.time, len(frame.data), frame.wire_length) + frame.data)
    out.flush()


def dissect(result: Results, flow_id: int, keylog: str | Path | None = None) -> list[Any]:
    """The packets of a flow as tshark dissects them, through pyshark; with a key log what is inside TLS as well.

    pyshark has an event loop of its own, in a thread: it works in Jupyter, where one runs already.
    """
    from auditor.requests import tshark
    from auditor.requests.decrypt import Private

    program = tshark.program()
    if program is None:
        raise AuditError(tshark.missing())
    if keylog is not None and not Path(keylog).is_file():
        raise AuditError(f"{keylog}: no such file")
    dissected: list[Any] = []
    failed: list[Exception] = []
    kept = Private()

    def load() -> None:
        from auditor.requests.dissection import OPEN, Dissection

        file = kept.handle
        path = f"{OPEN}/{file}" if isinstance(file, int) else file
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
        raise AuditError(f"tshark could not dissect flow {flow_id}: {failed[0]}")
    return dissected
