"""The packets of one flow as a ladder: who sent what when, with the frames and the handshake messages they show."""

from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.border.words import counted
from auditor.report.drill import Frame, frames, packet_of
from auditor.report.results import Results

if TYPE_CHECKING:
    from scapy.packet import Packet

MOST_STEPS = 60
RECORDS = {20: "ChangeCipherSpec", 21: "Alert", 22: "Handshake", 23: "application data"}  # RFC 8446 5.1
MESSAGES = {1: "ClientHello", 2: "ServerHello", 4: "NewSessionTicket", 11: "Certificate", 12: "ServerKeyExchange"}
MESSAGES |= {13: "CertificateRequest", 14: "ServerHelloDone", 16: "ClientKeyExchange"}  # RFC 8446 4, RFC 5246 7.4


class Step(NamedTuple):
    """A packet of the flow."""

    capture: str
    frame: int  # of that capture
    milliseconds: float  # since the first packet
    from_client: bool
    words: str


class Ladder(NamedTuple):
    """A flow from its first packet on."""

    client: str
    server: str
    steps: list[Step]
    left_out: int  # packets behind the last step


def ladder(result: Results, flow_id: int) -> Ladder:
    """The packets of a flow, read from its captures again. Raises AuditError where one of these, or the flow, is not there."""
    steps: list[Step] = []
    ends, begun, count = _ends(result, flow_id), 0, 0
    hellos = _hellos(result, flow_id)
    for frame in frames(result, [flow_id]):
        count += 1
        begun = begun or frame.time
        if len(steps) < MOST_STEPS:
            steps.append(_step(frame, (frame.time - begun) / 1e6, ends[0], hellos.get((frame.capture, frame.number))))
    return Ladder(*ends, steps, count - len(steps))


def _ends(result: Results, flow_id: int) -> tuple[str, str]:
    rows = result.rows("flows", "flow_id", "client_ip", "server_ip")
    return next(((row["client_ip"], row["server_ip"]) for row in rows if row["flow_id"] == flow_id), ("", ""))


def _hellos(result: Results, flow_id: int) -> dict[tuple[str, int], str]:
    """The frames in which the hellos of the flow end, as the handshakes have them."""
    sides = {"client": "ClientHello", "server": "ServerHello"}
    names = [f"{side}_hello_{what}" for side in sides for what in ("capture", "frame")]
    rows = [row for row in result.each("handshakes", "flow_id", *names) if row["flow_id"] == flow_id]
    return {
        (row[f"{side}_hello_capture"], row[f"{side}_hello_frame"]): name
        for row in rows
        for side, name in sides.items()
        if row[f"{side}_hello_frame"]
    }


def _step(frame: Frame, milliseconds: float, client: str, hello: str | None) -> Step:
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    packet = packet_of(frame)
    inner: Any = None
    for kind in (IP, IPv6):
        number = 1
        while (layer := packet.getlayer(kind, number)) is not None:
            inner, number = layer, number + 1
    if inner is None:
        return Step(frame.capture, frame.number, milliseconds, True, counted(frame.wire_length, "byte"))
    words = [*_transport(inner)]
    if hello is not None and hello not in words:
        words.append(f"end of {hello}")
    return Step(frame.capture, frame.number, milliseconds, inner.src == client, ", ".join(words) or "no data")


def _transport(packet: "Packet") -> list[str]:
    """Flags of TCP, and what the payload begins with."""
    from scapy.layers.inet import TCP, UDP

    if TCP in packet:
        tcp = packet[TCP]
        names = {"S": "SYN", "F": "FIN", "R": "RST"}
        flags = "+".join(names[flag] for flag in str(tcp.flags) if flag in names)
        flags += "+ACK" if flags == "SYN" and tcp.flags.A else ""
        data = bytes(tcp.payload)[: _length(packet)]
        return [*([flags] if flags else []), *(_records(data) if data else [] if flags else ["ACK"])]
    data = bytes(packet[UDP].payload) if UDP in packet else bytes(packet.payload)
    return [counted(len(data), "byte")]


def _length(packet: "Packet") -> int | None:
    """Bytes behind the TCP header: what is behind them is padding of the link."""
    from scapy.layers.inet import IP, TCP

    if packet.name != "IP" or not packet.len:
        return None
    return int(packet.len) - 4 * int(packet[IP].ihl) - 4 * int(packet[TCP].dataofs or 5)


def _records(data: bytes) -> list[str]:
    """The TLS records that a segment begins with, or its length."""
    words, at = [], 0
    while at + 5 <= len(data) and data[at] in RECORDS and data[at + 1] == 3:
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        name = RECORDS[data[at]]
        if data[at] == 22 and at + 5 < len(data):
            name = MESSAGES.get(data[at + 5], name)
        words.append(name)
        at += 5 + length
    return [*dict.fromkeys(words)] if words else [counted(len(data), "byte")]
