"""More captures and side inputs that ask for much: requests in clear, what says who is who in a network, archives, routes."""

import ssl
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.bombs import BEGIN, ETHERNET, SYN, UDP, Array, _patch, packets, write

SIZE = 1400  # bytes of a segment
HTTP = 80
SIGNED = (
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIA0123456789ABCDEF/20260101/us-east-1/s3/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'ab' * 32}\r\n"
)
REQUEST = f"GET /0123456789 HTTP/1.1\r\nHost: b0123456789.s3.us-east-1.amazonaws.com\r\n{SIGNED}\r\n".encode()
DIGITS = b"0123456789"


def numbered(template: bytes, number: Array) -> Array:
    """As many copies of bytes, in each of which its number stands for the ten digits."""
    rows = np.tile(np.frombuffer(template, np.uint8), (len(number), 1))
    for at in (place for place in range(len(template)) if template.startswith(DIGITS, place)):
        for k in range(10):
            rows[:, at + k] = 48 + number // 10 ** (9 - k) % 10
    return rows


def _stream(path: Path, data: bytes, port: int) -> Path:
    """One connection on which a client sends ``data``."""
    parts = np.frombuffer(data + bytes(-len(data) % SIZE), np.uint8).reshape(-1, SIZE)

    def frames(number: Array) -> Array:
        rows = packets(np.zeros(len(number), np.int64), parts[number], port=port)
        _patch(rows, 38, 1 + number * SIZE, 4)
        return rows

    return write(path, len(parts), frames)


def requests(path: Path, count: int) -> Path:
    """Requests in clear, each of a connection, a host and an access key of its own."""
    return write(path, count, lambda number: packets(number, numbered(REQUEST, number), port=HTTP))


def pipelined(path: Path, count: int) -> Path:
    """One connection with as many requests."""
    return _stream(path, numbered(REQUEST, np.arange(count)).tobytes(), HTTP)


def fields(path: Path, count: int) -> Path:
    """One request with as many fields."""
    more = numbered(b"x-0123456789: " + b"v" * 20 + b"\r\n", np.arange(count)).tobytes()
    return _stream(path, REQUEST[:-2] + more + b"\r\n", HTTP)


def questions(path: Path, count: int) -> Path:
    """Questions of DNS for as many names."""
    asked = b"\0\1\1\0\0\1" + bytes(6) + b"\x0a0123456789\x3f" + b"z" * 63 + b"\x03aws\0\0\1\0\1"
    return write(path, count, lambda number: packets(number, numbered(asked, number), protocol=UDP, port=53))


def dtls(path: Path, count: int) -> Path:
    """ClientHellos of DTLS, of each of which the first fragment is all that comes."""
    hello = b"\x01\0\x40\0\0\0\0\0\0\0\x04\0\xfe\xfd" + bytes(1022)
    record = b"\x16\xfe\xff" + bytes(8) + struct.pack(">H", len(hello)) + hello
    return write(path, count, lambda number: packets(number, record, protocol=UDP, port=4433))


def reuse(path: Path, count: int) -> Path:
    """SYNs between the same two ports over and over, each of a connection of its own."""

    def frames(number: Array) -> Array:
        rows = packets(np.zeros(len(number), np.int64), b"", flags=SYN)
        _patch(rows, 38, number * 1_000_003, 4)
        return rows

    return write(path, count, frames, 100_000)


def neighbours(path: Path, count: int) -> Path:
    """Neighbor Advertisements (RFC 4861), each of an address of its own."""
    told = b"\x88\0\0\0\x60\0\0\0" + bytes(16) + b"\x02\x01" + bytes(6)
    header = (
        struct.pack(">IHBB", 6 << 28, len(told), 58, 255) + b"\xfe\x80" + bytes(14) + b"\xff\x02" + bytes(13) + b"\1"
    )
    template = np.frombuffer(b"\x33\x33\0\0\0\x01" + ETHERNET[6:] + b"\x86\xdd" + header + told, np.uint8)

    def frames(number: Array) -> Array:
        rows = np.tile(template, (len(number), 1))
        rows[:, 6] = rows[:, 80] = 2
        rows[:, 62] = 0x20
        for at in (8, 34, 74, 82):
            _patch(rows, at, number, 4)
        return rows

    return write(path, count, frames)


def _message(kind: int, body: bytes) -> bytes:
    return b"\xff" * 16 + struct.pack(">HB", 19 + len(body), kind) + body


def announcements(path: Path, count: int) -> Path:
    """A session of BGP that both sides open, on which as many prefixes are announced."""
    from tests import wire

    opens = [
        (who, _message(1, b"\x04" + struct.pack(">HHI", number, 90, 1) + b"\0"))
        for who, number in (("c", 65000), ("s", 7224))
    ]
    attributes = b"\x40\x01\x01\0\x40\x02\x04\x02\x01\x1c\x38\x40\x03\x04\xc6\x33\x64\x01"
    prefixes = np.empty((count, 5), np.uint8)
    prefixes[:, 0] = 32
    _patch(prefixes, 1, np.arange(count) + (20 << 24), 4)
    bodies = [
        b"\0\0" + struct.pack(">H", len(attributes)) + attributes + prefixes[at : at + 800].tobytes()
        for at in range(0, count, 800)
    ]
    alive = [(who, _message(4, b"")) for who in "cs"]
    talk = wire.Talk(40000, 179).open().play([*opens, *alive, *(("s", _message(2, body)) for body in bodies)])
    path.write_bytes(wire.pcap(talk.packets))
    return path


def archive(path: Path, count: int) -> Path:
    """A ZIP archive of as many captures of one packet."""
    one = write(path.with_suffix(".one"), 1, lambda number: packets(number, b"", flags=SYN))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(count):
            file.writestr(f"{number:08}.pcap", one.read_bytes())
    one.unlink()
    return path


def mrt(path: Path, count: int) -> Path:
    """A routing table as a collector writes it (RFC 6396), with as many prefixes."""

    def record(subtype: int, body: bytes) -> bytes:
        return struct.pack(">IHHI", BEGIN, 13, subtype, len(body)) + body

    attributes = b"\x40\x01\x01\0\x40\x02\x06\x02\x01\0\0\x1c\x38\x40\x03\x04\xa9\xfe\x61\x01"
    entry = struct.pack(">HHIH", 1, 0, BEGIN, len(attributes)) + attributes
    with path.open("wb") as file:
        file.write(record(1, struct.pack(">IHHBIII", 1, 0, 1, 2, 1, 0xA9FE6101, 7224)))
        for number in range(count):
            file.write(record(2, struct.pack(">IBI", number, 32, number + (20 << 24)) + entry))
    return path


def _opened(path: Path, data: bytes) -> Path:
    """A pcapng with one TLS session, in which a client sends ``data``, and its secrets."""
    from tests import carriers, wire

    with tempfile.TemporaryDirectory() as folder:
        server, client, keys = carriers.context(Path(folder)), ssl.create_default_context(), Path(folder) / "keys"
        client.check_hostname, client.verify_mode, client.keylog_filename = False, ssl.CERT_NONE, str(keys)
        for context in (server, client):
            context.set_alpn_protocols(["h2"])
        flights = carriers.session(client, server, data)
        secrets = keys.read_bytes()
    held = wire.block(10, struct.pack("<II", 0x544C534B, len(secrets)) + secrets)
    frames = wire.Talk().open().play(flights).packets
    sent = [wire.enhanced(frame, BEGIN * 1_000_000 + number) for number, frame in enumerate(frames)]
    path.write_bytes(b"".join([wire.section(), held, wire.interface(), *sent]))
    return path


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """A frame of HTTP/2 (RFC 9113 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


BEGUN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0)
GET = b"\x82\x87\x84\x41\x0dexample.local"  # :method GET, :scheme https, :path /, :authority (RFC 7541, appendix A)


def streams_of_http2(path: Path, count: int) -> Path:
    """As many streams of HTTP/2 inside of TLS that is opened, each with a request."""
    return _opened(path, BEGUN + b"".join(_frame(1, 5, 1 + 2 * number, GET) for number in range(count)))


def continuations(path: Path, count: int) -> Path:
    """One request of HTTP/2 whose fields come in as many CONTINUATION frames (RFC 9113 6.10)."""
    return _opened(path, BEGUN + _frame(1, 1, 1, GET) + _frame(9, 0, 1, b"\0\1a\1b") * count + _frame(9, 4, 1))


def frames_of_http2(path: Path, count: int) -> Path:
    """One request of HTTP/2, and as many frames of data behind it that hold nothing."""
    return _opened(path, BEGUN + _frame(1, 4, 1, GET) + _frame(0, 0, 1) * count)
