"""Other protocols' messages around TLS and DTLS, laid out for tests apart from the code that reads them.

A function takes the flights of a handshake, (who, bytes) with who c or s, and gives the payloads of datagrams or of a stream
with who sends each.
"""

import contextlib
import hashlib
import itertools
import ssl
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import quic_wire as q
from tests import wire

Flights = Sequence[tuple[str, bytes]]
NAME = "pinpoint.us-west-2.amazonaws.com"
SUITE = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


def context(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own for NAME."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9000))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


def session(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, *spoken: bytes, name: str = NAME
) -> list[tuple[str, bytes]]:
    """The flights of a TLS session between two ends of Python's ssl; ``spoken``: the client's request, the server's answer."""
    ends = [ssl.MemoryBIO() for _ in range(4)]
    client = client_context.wrap_bio(ends[0], ends[1], server_hostname=name)
    server = server_context.wrap_bio(ends[2], ends[3], server_side=True)
    flights: list[tuple[str, bytes]] = []

    def move() -> None:
        for who, source, target in (("c", ends[1], ends[2]), ("s", ends[3], ends[0])):
            if data := source.read():
                flights.append((who, data))
                target.write(data)

    for _ in range(6):
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            move()
    for end, text in zip((client, server), spoken, strict=False):
        end.write(text)
        move()
    return flights


@cache
def handshake(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> tuple[tuple[str, bytes], ...]:
    """The flights of a real TLS handshake and of a little data after it, between two ends of Python's ssl."""
    with TemporaryDirectory() as folder:
        server_context = context(Path(folder))
    client_context = ssl.create_default_context()
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    server_context.maximum_version = client_context.maximum_version = newest
    server_context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    buffers = [ssl.MemoryBIO() for _ in range(4)]
    client = client_context.wrap_bio(buffers[0], buffers[1], server_hostname=NAME)
    server = server_context.wrap_bio(buffers[2], buffers[3], server_side=True)
    ends = (("c", client, buffers[1], buffers[2]), ("s", server, buffers[3], buffers[0]))
    flights: list[tuple[str, bytes]] = []
    for turn in range(10):
        who, end, sent, taken = ends[turn % 2]
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake() if turn < 6 else end.write(b"contents")
        data = sent.read()
        taken.write(data)
        if data:
            flights.append((who, data))
    return tuple(flights)


def dtls_handshake() -> Flights:
    """The flights of a DTLS 1.2 handshake as datagrams of records, encrypted records made up."""
    hello = wire.client_hello(name=NAME, version=0xFEFD, suites=(0xC02C, 0xC02B))[4:]
    hello = hello[:35] + b"\0" + hello[35:]
    answer = wire.server_hello(0xC02C, version=0xFEFD)[4:]

    def plain(*messages: tuple[int, bytes, int]) -> bytes:
        parts = itertools.chain.from_iterable(q.dtls_fragments(kind, body, number) for kind, body, number in messages)
        return b"".join(q.dtls_record(22, part, number) for number, part in enumerate(parts))

    end = q.dtls_record(20, b"\1", 5) + q.dtls_record(22, bytes(range(40)), 0, epoch=1)
    data = q.dtls_record(23, bytes(range(60)), 1, epoch=1)
    return [
        ("c", plain((1, hello, 0))),
        ("s", plain((2, answer, 0), (14, b"", 1))),
        ("c", plain((16, bytes(66), 1))),
        ("c", end),
        ("s", end),
        ("c", data),
        ("s", data),
    ]


def pieces(flights: Flights, size: int) -> list[tuple[str, bytes]]:
    return [(who, data[at : at + size]) for who, data in flights for at in range(0, len(data), size)]


PRELOGIN = b"\0\0\x0b\0\6\1\0\x11\0\1\xff" + bytes(6)  # options VERSION and ENCRYPTION


def tds_packet(kind: int, body: bytes, last: bool = True) -> bytes:
    return struct.pack(">BBHHBB", kind, last, len(body) + 8, 0, 1, 0) + body


def tds(flights: Flights, size: int = 4088, encryption: int = 1) -> list[tuple[str, bytes]]:
    """TDS packets around the handshake; data records stand alone."""
    option = PRELOGIN + bytes([encryption])
    talk = [("c", tds_packet(0x12, option)), ("s", tds_packet(4, option))]
    for who, data in flights:
        if data[0] == 23:
            talk.append((who, data))
        else:
            talk += [(who, tds_packet(0x12, data[at : at + size])) for at in range(0, len(data), size)]
    return talk


def openvpn(
    flights: Flights, digest: str = "", size: int = 300, framed: bool = False, key: int = 0, hidden: bool = False
) -> list[tuple[str, bytes]]:
    """Packets of OpenVPN's control channel; ``digest``: of --tls-auth. Keys but the first are new ones of a connection.

    ``hidden``: they are wrapped as by --tls-crypt.
    """
    identity = {"c": b"clientid", "s": b"serverid"}
    numbers, packet_ids = {"c": 0, "s": 0}, {"c": 0, "s": 0}
    heard: list[int] = []
    talk = []
    cut = [("c", b""), ("s", b""), *pieces(flights, size)]
    for turn, (who, data) in enumerate(cut):
        opcode = 0x20 if turn > 1 else 0x18 if key else (0x38, 0x40)[turn]
        packet_ids[who] += 1
        body = b""
        if digest:
            body += hashlib.new(digest, data).digest() + struct.pack(">II", packet_ids[who], 1_700_000_000)
        acknowledged = heard[-2:] if turn else []
        body += bytes([len(acknowledged)]) + b"".join(struct.pack(">I", number) for number in acknowledged)
        body += identity["cs"[who == "c"]] if acknowledged else b""
        if hidden:
            body = struct.pack(">II", packet_ids[who], 1_700_000_000) + hashlib.shake_128(data).digest(33 + len(data))
        piece = struct.pack(">I", numbers[who]) + (b"" if hidden else data)
        packet = bytes([opcode | key]) + identity[who] + body + piece
        heard = [*heard, numbers[who]] if turn else [0]
        numbers[who] += 1
        talk.append((who, struct.pack(">H", len(packet)) + packet if framed else packet))
    return talk


def openvpn_crypt() -> list[tuple[str, bytes]]:
    """The first packets with --tls-crypt: packet id and time in clear, the rest looks like noise."""
    noise = hashlib.shake_128(b"seed").digest(400)
    packet = b"\x38clientid" + struct.pack(">II", 1, 1_700_000_000) + noise[:37]
    answer = b"\x40serverid" + struct.pack(">II", 1, 1_700_000_000) + noise[40:90]
    return [("c", packet), ("s", answer), ("c", b"\x20clientid" + struct.pack(">II", 2, 1_700_000_000) + noise)]


def radius_packet(code: int, identifier: int, attributes: Sequence[tuple[int, bytes]]) -> bytes:
    listed = b"".join(bytes([kind, len(value) + 2]) + value for kind, value in attributes)
    return struct.pack(">BBH", code, identifier, len(listed) + 20) + bytes(16) + listed


def eap(code: int, identifier: int, kind: int, body: bytes) -> bytes:
    return struct.pack(">BBHB", code, identifier, len(body) + 5, kind) + body


def radius(flights: Flights, method: int = 13, size: int = 500, user: int = 0) -> list[tuple[str, bytes]]:
    """Access-Requests and -Challenges: pieces by EAP's flags, each answered; State leads on."""

    def attributes(message: bytes) -> list[tuple[int, bytes]]:
        return [(79, message[at : at + 253]) for at in range(0, len(message), 253)]

    state = [(24, b"state%d" % user)]
    talk = [
        ("c", radius_packet(1, 10 * user, [(1, b"me"), *attributes(eap(2, 0, 1, b"me"))])),
        ("s", radius_packet(11, 10 * user, [*attributes(eap(1, 1, method, b"\x20")), *state])),
    ]
    number, turn = 1, 1
    for who, data in flights:
        for at in range(0, len(data), size):
            part = data[at : at + size]
            flags = (0x80 if at == 0 else 0) | (0x40 if at + size < len(data) else 0)
            body = bytes([flags]) + (struct.pack(">I", len(data)) if at == 0 else b"") + part
            waits = talk[-1][0] == who  # the other side acknowledges a piece first
            for speaker, contents in ([("s" if who == "c" else "c", b"\0")] if waits else []) + [(who, body)]:
                code = 2 if speaker == "c" else 1
                number += code == 1
                turn += code == 2
                message = attributes(eap(code, number, method, contents))
                identifier = (10 * user + turn) % 256
                talk.append((speaker, radius_packet(1 if code == 2 else 11, identifier, [*message, *state])))
    return talk


def eap_over_lan(flights: Flights, method: int = 13, group: str = "", size: int = 500) -> list[bytes]:
    """Frames of 802.1X with the EAP packets of ``radius``; ``group``: whose frames go to the group address."""
    macs = {"c": bytes.fromhex("0200000000c1"), "s": bytes.fromhex("0200000000a1")}
    everybody = bytes.fromhex("0180c2000003")
    frames = []
    for who, packet in radius(flights, method, size):
        message, at = b"", 20
        while at < len(packet):
            message += packet[at + 2 : at + packet[at + 1]] if packet[at] == 79 else b""
            at += packet[at + 1]
        target = everybody if who in group else macs["s" if who == "c" else "c"]
        frames.append(target + macs[who] + b"\x88\x8e\2\0" + struct.pack(">H", len(message)) + message)
    return frames


def rdp_udp(flights: Flights, lossy: bool = False, version: int = 1, size: int = 400) -> list[tuple[str, bytes]]:
    """Remote Desktop over UDP: SYNs, then data packets of version 1 or 2 of the transport."""
    flags = 0x0001 | (0x0200 if lossy else 0)
    extended = b""
    if version == 2:
        flags, extended = flags | 0x1000, b"\0\1\1\1"
    syn = struct.pack(">IHHIHH", 0xFFFFFFFF, 64, flags, 1000, 1232, 1232) + extended
    answer = struct.pack(">IHHIHH", 1000, 64, flags | 4, 5000, 1232, 1232) + extended
    talk = [("c", syn.ljust(1232, b"\0")), ("s", answer.ljust(1232, b"\0"))]
    numbers = {"c": 1000, "s": 5000}
    for who, data in flights if lossy else pieces(flights, size):
        numbers[who] += 1
        if version == 1:
            head = struct.pack(">IHH", numbers["s" if who == "c" else "c"], 64, 0x4 | 0x8)
            packet = head + b"\0\1\x40\0" + struct.pack(">II", numbers[who], numbers[who]) + data
        else:
            body = struct.pack("<H", 0x1 | 0x4) + struct.pack("<H", 7) + bytes(5)
            packet = b"\0" + body + struct.pack("<HH", numbers[who] & 0xFFFF, numbers[who] & 0xFFFF) + data
            packet = packet[7:8] + packet[1:7] + packet[:1] + packet[8:]
        talk.append((who, packet))
    return talk


COOKIE = b"\x21\x12\xa4\x42"
TURN_PEER = b"\0\1\xd7\x01\xe1\x12\xa6\x75"


def stun(kind: int, attributes: Sequence[tuple[int, bytes]] = ()) -> bytes:
    listed = b"".join(struct.pack(">HH", k, len(v)) + v + b"\0" * (-len(v) % 4) for k, v in attributes)
    return struct.pack(">HH", kind, len(listed)) + COOKIE + bytes(range(12)) + listed


def turn(flights: Flights, how: str = "channel", padded: bool = False) -> list[tuple[str, bytes]]:
    """TURN: an allocation, then the datagrams in ChannelData, or in Send and Data indications, or first these, then that."""
    talk = [("c", stun(3)), ("s", stun(0x103))]
    bind = stun(9, [(0x0C, b"\x40\x01\0\0"), (0x12, TURN_PEER)])
    for number, (who, data) in enumerate(flights):
        if how == "indications" or (how == "both" and number < 2):
            talk.append((who, stun(0x16 if who == "c" else 0x17, [(0x12, TURN_PEER), (0x13, data)])))
            continue
        if bind:
            talk += [("c", bind), ("s", stun(0x109))]
            bind = b""
        talk.append((who, b"\x40\1" + struct.pack(">H", len(data)) + data + b"\0" * (-len(data) % 4 if padded else 0)))
    return talk


def prefixed(talk: Flights) -> list[tuple[str, bytes]]:
    """Each message behind its length, as RFC 4571 has it."""
    return [(who, struct.pack(">H", len(data)) + data) for who, data in talk]


def capwap(flights: Flights) -> list[tuple[str, bytes]]:
    return [(who, b"\1\0\0\0" + data) for who, data in flights]


def _openvpn(digest: str) -> list[tuple[str, bytes]]:
    return openvpn(handshake(), digest)


Carrier = Callable[[], list[tuple[str, bytes]]]
OVER_TCP: dict[str, Carrier] = {
    "tds": lambda: tds(handshake()),
    "openvpn": lambda: openvpn(handshake(), framed=True),
    "openvpn, authenticated": lambda: openvpn(handshake(), "sha1", framed=True),
    "stun": lambda: turn(dtls_handshake(), padded=True),
    "stun, indications": lambda: turn(dtls_handshake(), "indications"),
    "stun, behind lengths": lambda: prefixed(
        [("c", stun(1)), ("s", stun(0x101)), *turn(dtls_handshake(), "indications")]
    ),
}
OVER_UDP: dict[str, Carrier] = {
    **{f"openvpn, {digest or 'clear'}": partial(_openvpn, digest) for digest in ("", "md5", "sha1", "sha256", "sha512")},
    "radius": lambda: radius(handshake()),
    "radius, peap": lambda: radius(handshake(), method=25, size=90),
    "rdp": lambda: rdp_udp(handshake()),
    "rdp, version 2": lambda: rdp_udp(handshake(), version=2),
    "rdp, lossy": lambda: rdp_udp(dtls_handshake(), lossy=True),
    "stun, channel": lambda: turn(dtls_handshake()),
    "stun, indications": lambda: turn(dtls_handshake(), "indications"),
    "stun, both": lambda: turn(dtls_handshake(), "both"),
    "capwap": lambda: capwap(dtls_handshake()),
}  # fmt: skip
