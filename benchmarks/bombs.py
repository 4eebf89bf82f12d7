"""Captures and side inputs that ask for far more memory or time than their size suggests, each of ``n`` parts.

What an adversary would prepare: every part is new to whichever table it is meant for. ``growth`` measures what they cost,
tests hold what they may take.
"""

import gzip
import json
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SECOND = 1_000_000
BEGIN = 1_764_000_000  # seconds
PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
ETHERNET = bytes.fromhex("020000000002020000000001")
TCP, UDP = 6, 17
SYN, PUSH = 0x02, 0x18
SUITES = 7400  # of a ClientHello: as many as a record of 16 KiB holds


def _patch(rows: Array, at: int, values: Array, size: int) -> None:
    """Write whole numbers, big-endian, into ``size`` columns of bytes."""
    for k in range(size):
        rows[:, at + k] = (values >> (8 * (size - 1 - k))) & 0xFF


def _records(frames: Array, times: Array) -> Array:
    """Frames of one length as the records of a pcap."""
    count, length = frames.shape
    rows = np.empty((count, 16 + length), np.uint8)
    heads = np.empty((count, 4), "<u4")
    heads[:, 0], heads[:, 1] = BEGIN + times // SECOND, times % SECOND
    heads[:, 2] = heads[:, 3] = length
    rows[:, :16] = heads.view(np.uint8)
    rows[:, 16:] = frames
    return rows


def _ip(protocol: int, size: int, *, v6: bool) -> bytes:
    """Ethernet and IP headers in front of ``size`` bytes; addresses are patched in."""
    if v6:
        return ETHERNET + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, size, protocol, 64) + bytes(32)
    return ETHERNET + b"\x08\0" + struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 7, 0, 64, protocol, 0) + bytes(8)


def packets(
    number: Array, payload: Array | bytes, *, protocol: int = TCP, flags: int = PUSH, port: int = 443, v6: bool = False
) -> Array:
    """Frames, each of a flow of its own: packet ``number[k]`` has its client's address and port by that number."""
    count = len(number)
    size = payload.shape[1] if isinstance(payload, np.ndarray) else len(payload)
    head = 20 if protocol == TCP else 8
    ip = _ip(protocol, head + size, v6=v6)
    begin = len(ip)
    frames = np.zeros((count, begin + head + size), np.uint8)
    frames[:, :begin] = np.frombuffer(ip, np.uint8)
    host, source = number >> 15, 1024 + (number & 0x7FFF)
    if v6:
        frames[:, 22], frames[:, 38] = 0x20, 0x20
        _patch(frames, 30, host, 8)
        frames[:, 53] = 1
    else:
        frames[:, 26] = 10
        _patch(frames, 27, host, 3)
        frames[:, 30:34] = (198, 51, 100, 1)
    _patch(frames, begin, source, 2)
    _patch(frames, begin + 2, np.full(count, port), 2)
    if protocol == TCP:
        frames[:, begin + 4 : begin + 8] = (0, 0, 0, 1)
        frames[:, begin + 12 : begin + 14] = 0x50, flags
    else:
        _patch(frames, begin + 4, np.full(count, 8 + size), 2)
    if size:
        frames[:, begin + head :] = payload if isinstance(payload, np.ndarray) else np.frombuffer(payload, np.uint8)
    return frames


def write(path: Path, count: int, frames: Callable[[Array], Array], step: int = 10) -> Path:
    """A pcap of the frames of ``count`` numbers, ``step`` microseconds apart."""
    each = 4096
    with path.open("wb") as file:
        file.write(PCAP)
        for begin in range(0, count, each):
            number = np.arange(begin, min(count, begin + each))
            file.write(_records(frames(number), number * step).tobytes())
    return path


def _hello(suites: bytes, extensions: bytes) -> bytes:
    """A record with a ClientHello."""
    body = b"\x03\x03" + bytes(32) + b"\0" + struct.pack(">H", len(suites)) + suites + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def hellos(path: Path, count: int) -> Path:
    """ClientHellos that each offer thousands of suites in an order of their own."""
    template = np.frombuffer(_hello(np.arange(SUITES, dtype=">u2").tobytes(), b""), np.uint8)
    first = 5 + 4 + 2 + 32 + 1 + 2

    def frames(number: Array) -> Array:
        rows = np.tile(template, (len(number), 1))
        _patch(rows, first, number, 4)
        return packets(number, rows)

    return write(path, count, frames)


def names(path: Path, count: int) -> Path:
    """ClientHellos for as many server names, of 250 bytes each."""
    host = b"0123456789." + b".".join([b"x" * 59] * 3 + [b"y" * 55]) + b".aws"
    entry = b"\0" + struct.pack(">H", len(host)) + host
    extension = struct.pack(">HHH", 0, len(entry) + 2, len(entry)) + entry
    template = np.frombuffer(_hello(b"\x13\x01\xc0\x2f", extension), np.uint8)
    at = bytes(template).index(b"0123456789")

    def frames(number: Array) -> Array:
        rows = np.tile(template, (len(number), 1))
        for k in range(10):
            rows[:, at + k] = 48 + number // 10 ** (9 - k) % 10
        return packets(number, rows)

    return write(path, count, frames)


def syns(path: Path, count: int) -> Path:
    """A SYN flood over IPv4, a million a second."""
    return write(path, count, lambda number: packets(number, b"", flags=SYN), 1)


def syns_v6(path: Path, count: int) -> Path:
    """A SYN flood over IPv6."""
    return write(path, count, lambda number: packets(number, b"", flags=SYN, v6=True), 1)


def datagrams(path: Path, count: int) -> Path:
    """UDP datagrams, each of a flow of its own."""
    return write(path, count, lambda number: packets(number, b"x" * 20, protocol=UDP, port=9999), 1)


def answers(path: Path, count: int) -> Path:
    """DNS answers with 24 addresses each, all different, for as many names."""
    question = b"\x0a0123456789" + b"\x3f" + b"z" * 63 + b"\x3f" + b"z" * 63 + b"\x03aws\0" + b"\0\x01\0\x01"
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + bytes(4)
    template = np.frombuffer(struct.pack(">HHHHHH", 1, 0x8180, 1, 24, 0, 0) + question + record * 24, np.uint8)
    at = bytes(template).index(b"0123456789")
    first = len(template) - 24 * 16 + 12

    def frames(number: Array) -> Array:
        rows = np.tile(template, (len(number), 1))
        for k in range(10):
            rows[:, at + k] = 48 + number // 10 ** (9 - k) % 10
        for k in range(24):
            _patch(rows, first + 16 * k, 24 * number + k + (1 << 24), 4)
        return packets(number, rows, protocol=UDP, port=53)

    return write(path, count, frames)


def chains(path: Path, count: int) -> Path:
    """Answers of servers with a certificate of 2 KB each, all different."""
    template = np.frombuffer(_flight([_certificate()]), np.uint8)
    at = bytes(template).index(b"\x5a" * 8)

    def frames(number: Array) -> Array:
        rows = np.tile(template, (len(number), 1))
        _patch(rows, at + 4, number, 4)
        return packets(number, rows)

    return write(path, count, frames)


def _certificate(names: int = 20) -> bytes:
    """A certificate with many names, whose serial number is eight bytes of 0x5A."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bomb")])
    alternatives = [x509.DNSName(f"{k:05}." + "n" * 57 + ".example") for k in range(names)]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(b"\x5a" * 8, "big"))
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


def _flight(certificates: Sequence[bytes]) -> bytes:
    """Records with a ServerHello and a chain of certificates."""
    listed = b"".join(len(der).to_bytes(3, "big") + der for der in certificates)
    certificate = b"\x0b" + (len(listed) + 3).to_bytes(3, "big") + len(listed).to_bytes(3, "big") + listed
    hello = b"\x03\x03" + bytes(32) + b"\0\xc0\x2f\0\0\0"
    messages = b"\x02" + len(hello).to_bytes(3, "big") + hello + certificate + b"\x0e\0\0\0"
    parts = [messages[at : at + 16_000] for at in range(0, len(messages), 16_000)]
    return b"".join(b"\x16\x03\x03" + struct.pack(">H", len(part)) + part for part in parts)


def arps(path: Path, count: int) -> Path:
    """ARP replies, each of an address of its own."""
    template = np.frombuffer(
        b"\xff" * 6 + ETHERNET[6:] + b"\x08\x06" + bytes.fromhex("0001080006040002") + bytes(20) + bytes(18), np.uint8
    )

    def frames(number: Array) -> Array:
        rows = np.tile(template, (len(number), 1))
        rows[:, 6] = rows[:, 22] = 2
        _patch(rows, 8, number, 4)
        _patch(rows, 24, number, 4)
        _patch(rows, 28, number + (10 << 24), 4)
        _patch(rows, 38, np.full(len(number), 0x0A000001), 4)
        return rows

    return write(path, count, frames)


def streams(path: Path, count: int) -> Path:
    """Connections of which eight single bytes are seen, thousands of bytes apart: each takes a chunk of memory."""

    def frames(number: Array) -> Array:
        rows = packets(number // 8, np.full((len(number), 1), 0x16, np.uint8))
        _patch(rows, 38, 1 + number % 8 * 7000, 4)
        return rows

    return write(path, 8 * count, frames)


def initials(path: Path, count: int) -> Path:
    """QUIC Initial packets that no key opens, 16 in each connection."""
    payload = np.full(1200, 0xAA, np.uint8)
    payload[:24] = np.frombuffer(b"\xc3\0\0\0\x01\x08" + bytes(8) + b"\x08" + bytes(8) + b"\0", np.uint8)
    payload[24:26] = 0x44, 0x96

    def frames(number: Array) -> Array:
        rows = np.tile(payload, (len(number), 1))
        _patch(rows, 6, number // 16, 8)
        _patch(rows, 40, number, 8)
        return packets(number // 16, rows, protocol=UDP)

    return write(path, 16 * count, frames)


def bgp(path: Path, count: int) -> Path:
    """Segments of BGP, each of a connection of its own."""
    return write(path, count, lambda number: packets(number, b"\xff" * 16 + b"\0\x13\x04", port=179))


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def interfaces(path: Path, count: int) -> Path:
    """A pcapng with as many interfaces, a long name and description each, and a packet on every one."""
    frame = packets(np.arange(1), b"", flags=SYN)[0].tobytes()
    frame += bytes(-len(frame) % 4)
    with path.open("wb") as file:
        file.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        for number in range(count):
            name = f"if{number:08}".encode() + b"n" * 54
            options = struct.pack("<HH", 2, len(name)) + name + struct.pack("<HH", 3, 256) + b"d" * 256 + bytes(4)
            file.write(_block(1, struct.pack("<HHI", 1, 0, 0) + options))
        for number in range(count):
            file.write(_block(6, struct.pack("<IIIII", number, 0, number, len(frame), len(frame)) + frame))
    return path


def flow_log_parquet(path: Path, count: int) -> Path:
    """A flow log in Parquet whose rows are all alike: a few bytes for millions of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row: dict[str, Any] = {"srcaddr": "10.0.0.1", "dstaddr": "10.0.0.2", "interface_id": "eni-0a1", "log_status": "OK"}
    row |= {"srcport": 1, "dstport": 443, "protocol": 6, "packets": 1, "bytes": 1, "start": BEGIN, "end": BEGIN + 60}
    part = pa.table({name: [value] * 100_000 for name, value in row.items()})
    with pq.ParquetWriter(path, part.schema, compression="zstd") as writer:
        for begin in range(0, count, 100_000):
            writer.write_table(part.slice(0, min(100_000, count - begin)))
    return path


def flow_log_text(path: Path, count: int) -> Path:
    """A flow log as text, packed."""
    row = f"2 123456789012 eni-0a1 10.0.0.1 10.0.0.2 1 443 6 1 1 {BEGIN} {BEGIN + 60} ACCEPT OK\n".encode()
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(
            b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
        )
        for _ in range(0, count, 1000):
            file.write(row * 1000)
    return path


def cloudtrail(path: Path, count: int) -> Path:
    """CloudTrail events, one a line, packed."""
    event = {
        "eventSource": "s3.amazonaws.com",
        "eventTime": "2025-11-24T16:00:00Z",
        "sourceIPAddress": "10.0.0.1",
        "tlsDetails": {"tlsVersion": "TLSv1.3", "clientProvidedHostHeader": "s3.amazonaws.com"},
    }
    line = (json.dumps(event) + "\n").encode()
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(0, count, 1000):
            file.write(line * 1000)
    return path


def sensor(path: Path, count: int) -> Path:
    """Rows of Zeek's conn.log, packed."""
    row = f"{BEGIN}.0\tC1\t10.0.0.1\t1\t10.0.0.2\t443\ttcp\t-\n".encode()
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tvlan\n")
        for _ in range(0, count, 1000):
            file.write(row * 1000)
    return path


def chain_of_one(path: Path, count: int) -> Path:
    """A chain of as many certificates as fit, of which none can be parsed: 40 bytes each, all different."""
    data = _flight([number.to_bytes(40, "big") for number in range(1, count + 1)])
    return _stream(path, data)


def names_of_one(path: Path, count: int) -> Path:
    """A certificate with as many names."""
    return _stream(path, _flight([_certificate(count)]))


def _stream(path: Path, data: bytes) -> Path:
    """One connection on which a server sends ``data``."""
    size = 1400
    data += bytes(-len(data) % size)
    parts = np.frombuffer(data, np.uint8).reshape(-1, size)

    def frames(number: Array) -> Array:
        rows = packets(np.zeros(len(number), np.int64), parts[number])
        _patch(rows, 38, 1 + number * size, 4)
        return rows

    return write(path, len(parts), frames)


def positions(path: Path, count: int) -> Path:
    """A flow of which every packet is in another VLAN."""

    def frames(number: Array) -> Array:
        plain = packets(np.zeros(len(number), np.int64), b"x" * 20, protocol=UDP, port=9999)
        rows = np.empty((len(number), plain.shape[1] + 8), np.uint8)
        rows[:, :12], rows[:, 20:] = plain[:, :12], plain[:, 12:]
        rows[:, 12:20] = 0x81, 0, 0, 0, 0x81, 0, 0, 0
        _patch(rows, 14, number >> 12, 2)
        _patch(rows, 18, number & 0xFFF, 2)
        return rows

    return write(path, count, frames)


def fragments(path: Path, count: int) -> Path:
    """Fragments of eight bytes, a thousand of each datagram, whose last one never comes."""

    def frames(number: Array) -> Array:
        rows = packets(number // 1000, bytes(0), protocol=UDP)
        _patch(rows, 18, number // 1000, 2)
        _patch(rows, 20, 0x2000 | (number % 1000), 2)
        return rows

    return write(path, count, frames)


def secrets(path: Path, count: int) -> Path:
    """A pcapng with as many blocks of TLS secrets."""
    line = "CLIENT_RANDOM {:064x} " + "ab" * 48 + "\n"
    with path.open("wb") as file:
        file.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        for number in range(count):
            text = line.format(number).encode()
            text += bytes(-len(text) % 4)
            file.write(_block(10, struct.pack("<II", 0x544C534B, len(text)) + text))
        file.write(_block(1, struct.pack("<HHI", 1, 0, 0)))
    return path


def topology(path: Path, count: int) -> Path:
    """A site with as many virtual interfaces."""
    one = """[[virtual_interface]]
name = "vif{0}"
kind = "private"
vlan = {1}
peer_mac = "02:00:{2:02x}:{3:02x}:00:01"
peer_address = ["169.254.{2}.{3}"]
prefixes = ["10.{2}.{3}.0/24"]
"""
    path.write_text("".join(one.format(k, 1 + k % 4000, k >> 8 & 255, k & 255) for k in range(count)))
    return path


def account(path: Path, count: int) -> Path:
    """An account with ``count`` VPCs, as JSON, packed."""
    row = json.dumps({"VpcId": "vpc-0123456789abcdef0", "CidrBlock": "10.0.0.0/16", "Tags": [{}] * 20})
    path.write_bytes(gzip.compress(f'{{"Vpcs": [{",".join([row] * count)}]}}'.encode()))
    return path


def routes(path: Path, count: int) -> Path:
    """A routing table as ``ip -j route`` prints it."""
    rows = [{"dst": f"{10 + (k >> 16)}.{k >> 8 & 255}.{k & 255}.0/24", "gateway": "192.0.2.1"} for k in range(count)]
    path.write_text(json.dumps(rows))
    return path


def key_log(path: Path, count: int) -> Path:
    """A key log with as many secrets, each of a session of its own."""
    with path.open("w") as file:
        file.writelines(f"CLIENT_RANDOM {number:064x} {'ab' * 48}\n" for number in range(count))
    return path


def listing(path: Path, count: int) -> Path:
    """What a web server lists of a folder with as many captures."""
    path.write_text("".join(f'<a href="capture-{number:08}.pcap">capture</a>\n' for number in range(count)))
    return path


@contextmanager
def listed(path: Path) -> Iterator[str]:
    """A web server on loopback whose folder is listed by a file: the folder's URL."""
    data = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/captures/"
        server.shutdown()


def results(path: Path, count: int) -> Path:
    """The results of as many handshakes, each with a server of its own."""
    import auditor

    source = names(path.with_suffix(".pcap"), count)
    auditor.audit(source, out=path, all_traffic=True)
    return path


def shuffled_results(path: Path, count: int) -> Path:
    """The same, with rows in no order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in results(path, count).glob("*.parquet"):
        table = pq.read_table(file)
        order = pa.array(np.random.default_rng(1).permutation(len(table)))
        pq.write_table(table.take(order), file, row_group_size=8192)
    return path
