"""Decoders that are plain Python, given bytes directly: certificates, QUIC, DTLS, GSS-API, signatures of requests."""

import base64
import contextlib
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from cryptography.hazmat.primitives.asymmetric import ed25519

from auditor.errors import AuditError
from auditor.flows.limits import Limits
from auditor.flows.room import new_state
from auditor.recognise import numbers
from auditor.report.seals import sshsig, timestamps
from auditor.requests import signing
from auditor.tls import certificates, datagrams
from auditor.tls.datagram_messages import Datagram, MessageArrays
from auditor.tls.der import elements
from tests import hostile, wire
from tests import quic_wire as q
from tests.fuzz import mutate
from tests.time_stamps import Authority, openssl

ID = b"original"
OVER_DATAGRAMS = (numbers.DTLS, numbers.FTP, numbers.TDS, numbers.OPENVPN, numbers.EAP, numbers.RADIUS, numbers.RDP)
SMALL = Limits(64, 64, 64, 16, 16, 256, 1 << 18, 1 << 10)  # a state that is made in no time
FLOWS = 200  # that one state is for
Sent = tuple[int, bytes]  # side, and a datagram
SIGNED = (
    "authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/mobiletargeting/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature="
    + "ab" * 32
    + "\nx-amz-date: 20260101T000000Z\nx-amz-security-token: x\n"
)
QUERY = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Expires=60"
)


@cache
def der() -> bytes:
    return hostile._certificate("example.com")


def certificate_message() -> bytes:
    one = len(der()).to_bytes(3, "big") + der()
    return len(one * 2).to_bytes(3, "big") + one * 2


def hellos() -> tuple[bytes, bytes]:
    return wire.message(1, wire.client_hello("example.com")), wire.message(2, wire.server_hello())


@cache
def quic() -> list[Sent]:
    hello, answer = hellos()
    return [
        (0, q.initial(q.crypto(0, hello[:90]), ID)),
        (0, q.initial(q.crypto(90, hello[90:]), ID, number=1)),
        (1, q.initial(q.crypto(0, answer), ID, "server", target=b"\1\2\3\4")),
        (0, b"\x40" + bytes(40)),
    ]


@cache
def dtls() -> list[Sent]:
    hello, answer = hellos()
    sent = [(0, part) for part in q.dtls_fragments(1, hello[4:], 0, [50])]
    sent += [(1, part) for part in q.dtls_fragments(2, answer[4:], 0)]
    return [(side, q.dtls_record(22, part, number)) for number, (side, part) in enumerate(sent)]


def joined(sent: list[Sent]) -> bytes:
    """Datagrams as one file: side, length, bytes."""
    return b"".join(bytes([side]) + len(data).to_bytes(2, "big") + data for side, data in sent)


def parted(data: bytes) -> Iterator[Datagram]:
    at = 0
    while at + 3 <= len(data):
        length = int.from_bytes(data[at + 1 : at + 3], "big")
        yield Datagram(data[at + 3 : at + 3 + length], data[at] & 1, at, at)
        at += 3 + length


def of_datagrams(random: Random, sent: list[Sent]) -> bytes:
    """Datagrams in another order, some of them wrong, lost or there twice."""
    some = [random.choice(sent) if random.random() < 0.2 else one for one in sent if random.random() < 0.95]
    return joined([(side, mutate.octets(random, data) if random.random() < 0.4 else data) for side, data in some])


class Shared:
    """The state that handshakes are put together in: one for many inputs, as for the flows of a capture."""

    def __init__(self) -> None:
        self.held, self.flows = MessageArrays(new_state(SMALL)), 0

    def of_next(self) -> MessageArrays:
        """The state for another flow, now and then one with nothing in it."""
        self.flows += 1
        if self.flows % FLOWS == 0:
            self.held = MessageArrays(new_state(SMALL))
        return self.held


@cache
def shared() -> Shared:
    return Shared()


def assemble(path: Path, *applications: int) -> None:
    """Put handshakes together as if the datagrams were of each of these applications."""
    seen = list(parted(path.read_bytes())) or [Datagram(b"", 0, 0, 0)]  # there is always one
    for application in applications:
        for over_tcp in (False, True):
            assembler = datagrams._assembler(shared().of_next(), application, [1, 0], over_tcp=over_tcp)
            assembler.run(seen)


def read_certificate(path: Path) -> None:
    read = certificates.parse(path.read_bytes())
    read.fits("www.example.com")


def read_chain(path: Path, random: Random | None = None) -> None:
    """Parse a chain; with ``random``, make a table of one in ten."""
    every = certificates.Certificates()
    chain = every.chain(path.read_bytes())
    every.note(chain, "server", 1, 1)
    if random is None or random.random() < 0.1:
        every.table()


def read_signature(path: Path) -> None:
    head, _, query = path.read_bytes().decode("latin-1").partition("\n\n")
    headers = dict(line.partition(": ")[::2] for line in head.split("\n"))
    signing.read(headers, query, b"salt")


def make_certificate(random: Random) -> bytes:
    return mutate.der(random, der())


def make_chain(random: Random) -> bytes:
    if random.random() < 0.5:
        return mutate.octets(random, certificate_message())
    some = [mutate.der(random, der()) if random.random() < 0.7 else der() for _ in range(random.randint(1, 3))]
    listed = b"".join(len(one).to_bytes(3, "big") + one for one in some)
    return len(listed).to_bytes(3, "big") + listed


FRAMES = (  # of QUIC, RFC 9000 19: padding, PING, ACK, ACK with ECN, RESET_STREAM, NEW_TOKEN, STREAM, CONNECTION_CLOSE, unknown
    *(b"\0", b"\1", b"\2\5\0\0\0", b"\3\5\0\1\0\1\1\1\1\1", b"\4\0\0\0", b"\7\3abc", b"\x0e\0\0\3abc", b"\x1c\0\0\2no"),
    *(b"\x40\x60", b"\2\x80\xff\xff\xff\0\x40\xff\0", b"\6\xff\xff\xff\xff\xff\xff\xff\xff\1x", b"\6\0\x7f\xff"),
)


def make_quic(random: Random) -> bytes:
    """Datagrams that are wrong, or that are protected as they should be around frames that are wrong."""
    if random.random() < 0.3:
        return of_datagrams(random, quic())
    sent = [(side, _protected(random, side)) for side in random.choices((0, 0, 1), k=random.randint(1, 5))]
    return of_datagrams(random, sent) if random.random() < 0.2 else joined(sent)


def _protected(random: Random, side: int) -> bytes:
    """One or two Initials in a datagram: pieces of a hello at right and at wrong offsets, between other frames."""
    hello = hellos()[side]
    if random.random() < 0.4:
        hello = hello[:4] + mutate.octets(random, hello[4:])
    at, frames = 0, b""
    while at < len(hello):
        end = at + random.choice((len(hello), 90, 30, 7))
        offset = at if random.random() < 0.9 else random.choice((0, at + 1, 1 << 14, 1 << 61))
        frames += q.crypto(offset, hello[at:end]) + b"".join(random.choices(FRAMES, k=random.randrange(2)))
        at = end
    if random.random() < 0.2:
        frames = mutate.octets(random, frames)
    version, number = random.choice((1, 1, *q.SALTS)), random.choice((0, 1, 2, 255, 65535))
    token, least = random.choice((b"", b"t", b"t" * 300)), random.choice((1162, 1162, 0, 20))
    named = random.choice((None, None, None, 0, 0x0A0A0A0A, 0x6B3343CF))
    made = q.initial(
        frames, ID, ("client", "server")[side], number, version, token=token, least=max(least, 20), named=named
    )
    return made if random.random() < 0.8 else made + q.initial(q.crypto(0, hello), ID, number=number + 1 & 0xFFFF)


def make_dtls(random: Random) -> bytes:
    return of_datagrams(random, dtls())


def make_signature(random: Random) -> bytes:
    return mutate.fields(random, f"{SIGNED}\n{QUERY}")


def read_quic(path: Path) -> None:
    assemble(path, numbers.QUIC)


def read_dtls(path: Path) -> None:
    assemble(path, *OVER_DATAGRAMS)


def glance_at_dtls(path: Path, random: Random) -> None:
    assemble(path, random.choice(OVER_DATAGRAMS))


@cache
def sealed() -> str:
    """A signature as ``ssh-keygen -Y sign`` writes it."""
    return sshsig.sign(ed25519.Ed25519PrivateKey.generate(), "file", b"message")


def make_seal(random: Random) -> bytes:
    """A signature whose text, or what it encodes, is wrong."""
    head, *body, tail = sealed().splitlines()
    if random.random() < 0.2:
        return mutate.octets(random, sealed().encode())
    inner = mutate.octets(random, base64.b64decode("".join(body)))
    return f"{head}\n{base64.b64encode(inner).decode()}\n{tail}\n".encode()


def read_seal(path: Path) -> None:
    with contextlib.suppress(sshsig.SignatureError):
        sshsig.check(sshsig.parse(path.read_bytes()), "file", b"message")


@cache
def stamp() -> tuple[bytes, Path]:
    """The response of a time stamp authority, and its certificate."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-stamp-"))
    authority = Authority(folder / "authority", "ec")
    (folder / "message").write_bytes(b"message")
    openssl("ts", "-query", "-data", folder / "message", "-sha256", "-cert", "-out", folder / "request")
    authority.answer(folder / "request", folder / "answer", "-chain", authority.root)
    return (folder / "answer").read_bytes(), authority.root


def make_stamp(random: Random) -> bytes:
    return mutate.der(random, stamp()[0])


def read_stamp(path: Path) -> None:
    """Read a response, and check it whatever it is about."""
    data = path.read_bytes()
    with contextlib.suppress(AuditError):
        timestamps.stamped(path, data, {"message": b"message"})
    why = timestamps.check(data, b"message", stamp()[1])
    assert why is not None or _signed_part() in data


@cache
def _signed_part() -> bytes:
    """What is signed of the response: TSTInfo, as bytes."""
    data = stamp()[0]
    at = data.index(bytes.fromhex("060b2a864886f70d0109100104"))
    (_, whole, _), *_ = elements(data[at + 13 :])
    return whole
