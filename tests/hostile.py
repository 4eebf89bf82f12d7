"""A capture whose every text was crafted to do harm to whoever reads it: server names, ALPN, certificates, the file's name."""

import os
import struct
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests import wire
from tests.rule_scenes import BEGIN, key_of

TEXTS = [
    "=cmd|calc", "+1", "-2", "@SUM(1+1)", "<script>alert(1)</script>", "a|b", "[x](javascript:1)", "`code`", "a\tb", "a\nb", "a\rb",
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "\u202egnp.exe", "\u2066x\u2069", "a\0b", "x" * 250, "'; DROP TABLE flows; --",
    "${jndi:ldap://x}", "&lt;b&gt;", "</script><img src=x onerror=alert(1)>", "\u2028line", "{{7*7}}", "%s%n", '=HYPERLINK("http://x")',
]  # fmt: skip
INVALID = [b"\xff\xfe", b"caf\xe9", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]  # no UTF-8
SUFFIX = b".pinpoint.us-east-1.amazonaws.com.evil.example"
FILE_NAME = b"=a,<i>|\x1b[31m\xff\xe2\x80\xae\n.pcap"
LONG = 60_000


def _certificate(text: str) -> bytes:
    key = key_of("ec p256")
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, text[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, text[:64]),
        ]
    )
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(BEGIN).not_valid_after(BEGIN.replace(year=2028))
    )  # fmt: skip
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _hello(name: bytes, protocol: bytes) -> bytes:
    entry = b"\0" + struct.pack(">H", len(name)) + name
    listed = bytes([len(protocol)]) + protocol
    extensions = wire.extension(0, struct.pack(">H", len(entry)) + entry)
    extensions += wire.extension(16, struct.pack(">H", len(listed)) + listed)
    return wire.client_hello("", extensions=extensions)


def _records(message: bytes) -> bytes:
    return b"".join(wire.record(22, message[at : at + 16_000]) for at in range(0, len(message), 16_000))


def capture() -> bytes:
    """A pcap with a flow for each text; the name is in the ClientHello, in ALPN, and in the server's certificate."""
    packets = []
    texts = [text.encode() for text in TEXTS] + INVALID + [b"n" * LONG]
    for number, text in enumerate(texts):
        shown = text.decode(errors="replace")
        der = _certificate(shown)
        chosen = text[:200] or b"h2"
        agreed = bytes([len(chosen)]) + chosen
        answer = wire.server_hello(0xC02B, extensions=wire.extension(16, struct.pack(">H", len(agreed)) + agreed))
        listed = len(der).to_bytes(3, "big") + der
        answer += wire.message(11, len(listed).to_bytes(3, "big") + listed) + wire.message(14, b"")
        talk = wire.Talk(40_000 + number).open()
        packets += talk.play([("c", _records(_hello(text + SUFFIX, chosen))), ("s", _records(answer))]).close().packets
    request = b"GET /\x1b[31m HTTP/1.1\r\nHost: \xff\x1b[2J\xe2\x80\xae.pinpoint.us-east-1.amazonaws.com\r\nUser-Agent: =1+1\r\n\r\n"
    talk = (
        wire.Talk(50_000, 80)
        .open()
        .play([("c", request), ("s", b"HTTP/1.1 200 \x1b[31mOK\r\nContent-Length: 0\r\n\r\n")])
    )
    return wire.pcap([*packets, *talk.close().packets])


def named(folder: Path) -> Path:
    """A file whose name is of the same kind."""
    return folder / os.fsdecode(FILE_NAME)


def write(folder: Path) -> Path:
    """The capture, in such a file."""
    path = named(folder)
    path.write_bytes(capture())
    return path
