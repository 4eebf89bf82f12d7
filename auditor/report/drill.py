"""From a flow back to its packets: as scapy has them, or as tshark dissects them, through pyshark."""

import asyncio
import os
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from auditor.capture.inputs import Input
from auditor.errors import AuditError
from auditor.prefixes import parse_address

if TYPE_CHECKING:
    from scapy.plist import PacketList

    from auditor.report.audit import Audit

MOST_PACKETS = 1_000_000
MAGIC = 0xA1B23C4D  # pcap, times in nanoseconds
PROTOCOLS = {"tcp": 6, "udp": 17, "esp": 50}


@dataclass(frozen=True)
class Frame:
    """A frame as it was captured."""

    number: int
    time: int  # nanoseconds since 1970
    link_type: int
    wire_length: int
    data: bytes


def frames(result: "Audit", flow_id: int) -> Iterator[Frame]:
    """The frames of a flow, read from its capture again. Raises AuditError where that is not possible.

    Of a datagram that came in fragments there is the one that made it whole.
    """
    import pyarrow.compute as pc

    from auditor.requests.cut import TLS, Wanted, packets_of

    rows = result.arrow("flows").filter(pc.field("flow_id") == flow_id)
    if not rows.num_rows:
        raise AuditError(f"no flow has the number {flow_id}")
    row = {name: rows.column(name)[0] for name in rows.column_names}
    capture = str(row["capture"].as_py())
    path = Path(capture)
    if not path.is_file():
        raise AuditError(f"{capture}: the capture is not there any more, or was no file: packets cannot be shown")
    ends = {
        f"{end}_{half}": np.array([parse_address(row[f"{end}_ip"].as_py())[k]], np.uint64)
        for end in ("client", "server")
        for k, half in enumerate(("high", "low"))
    }
    wanted = Wanted(
        index=np.zeros(1, np.int64),
        identifier=np.array([flow_id]),
        kind=np.array([TLS]),
        protocol=np.array([PROTOCOLS[row["transport"].as_py()]]),
        client_port=np.array([row["client_port"].as_py() or 0], np.int64),
        server_port=np.array([row["server_port"].as_py() or 0], np.int64),
        started=np.array([row["started"].value]),
        ended=np.array([row["ended"].value]),
        randoms=np.array([None]),
        **ends,
    )
    source = Input(capture, path, size=path.stat().st_size, is_hashed=False)
    for block, at, _, _ in packets_of(source, wanted):
        packets = block.packets.view(np.ndarray)
        for k in at.tolist():
            packet = packets[k]
            begin, captured = int(packet["begin"]), int(packet["captured"])
            yield Frame(
                int(packet["frame"]),
                int(packet["time"]),
                block.link_types[int(packet["interface"])],
                int(packet["wire_length"]),
                block.buffer[begin : begin + captured].tobytes(),
            )


def packets(result: "Audit", flow_id: int) -> "PacketList":
    """The packets of a flow as scapy has them."""
    from scapy.config import conf
    from scapy.packet import Raw
    from scapy.plist import PacketList

    # Importing them is what makes scapy know the link layers.
    import scapy.layers.all  # noqa: F401  isort: skip

    found = []
    for frame in frames(result, flow_id):
        packet = conf.l2types.num2layer.get(frame.link_type, Raw)(frame.data)
        packet.time = frame.time / 1e9
        packet.wirelen = frame.wire_length
        found.append(packet)
        if len(found) >= MOST_PACKETS:
            break
    return PacketList(found, name=f"flow {flow_id}")


def write_pcap(found: Iterable[Frame], out: BinaryIO) -> None:
    """Write frames of one link type as a pcap with nanoseconds."""
    first = True
    for frame in found:
        if first:
            out.write(struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, 1 << 18, frame.link_type))
            first = False
        seconds, rest = divmod(max(0, frame.time), 1_000_000_000)
        out.write(struct.pack("<IIII", seconds & 0xFFFFFFFF, rest, len(frame.data), frame.wire_length) + frame.data)
    out.flush()


def dissect(result: "Audit", flow_id: int, keylog: str | Path | None = None) -> list[Any]:
    """The packets of a flow as tshark dissects them, through pyshark; with a key log what is inside TLS as well.

    pyshark has an event loop of its own, in a thread: it works in Jupyter, where one runs already.
    """
    from auditor.requests.decrypt import NO_TSHARK, Private, tshark

    program = tshark()
    if program is None:
        raise AuditError(NO_TSHARK)
    if keylog is not None and not Path(keylog).is_file():
        raise AuditError(f"{keylog}: no such file")
    found: list[Any] = []
    failed: list[Exception] = []
    kept = Private()

    def load() -> None:
        import pyshark

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        told = kept.told
        path = f"/proc/{os.getpid()}/fd/{told}" if isinstance(told, int) else told
        preferences = {"tls.keylog_file": str(Path(keylog).resolve())} if keylog is not None else None
        try:
            with pyshark.FileCapture(
                path, eventloop=loop, tshark_path=program, override_prefs=preferences, keep_packets=False
            ) as capture:
                found.extend(capture)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            failed.append(error)
        finally:
            loop.close()

    try:
        write_pcap(frames(result, flow_id), kept.file)
        thread = threading.Thread(target=load, name="dissecting")
        thread.start()
        thread.join()
    finally:
        kept.close()
    if failed:
        raise AuditError(f"tshark could not dissect flow {flow_id}: {failed[0]}")
    return found
