"""A capture with one handshake for each thing that a rule of a policy may ask for, built from bytes; keys are made for each run."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from auditor.tls.dh_groups import known_primes
from tests import wire

NAME = "pinpoint-fips.us-east-1.amazonaws.com"
NOT_FIPS = "pinpoint.us-east-1.amazonaws.com"
BEGIN = datetime(2026, 11, 25, 9, tzinfo=UTC)
FIRST_PORT = 40_000
GROUPS = {
    "x25519": 29, "secp256r1": 23, "secp384r1": 24, "secp256k1": 22,
    "X25519MLKEM768": 0x11EC, "SecP256r1MLKEM768": 0x11EB, "MLKEM1024": 0x0202,
}  # fmt: skip
SHARES = {
    "x25519": 32, "secp256r1": 65, "secp384r1": 97, "secp256k1": 65,
    "X25519MLKEM768": 1120, "SecP256r1MLKEM768": 1153, "MLKEM1024": 1568,
}  # fmt: skip
CURVES: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
ECDSA_SHA256, RSA_PSS_SHA256, RSA_SHA1, RSA_SHA256 = 0x0403, 0x0804, 0x0201, 0x0401


@dataclass(frozen=True)
class Scene:
    """A handshake: what is offered, chosen and shown."""

    version: int = 0x0303
    suite: int = 0xC02F
    offered: tuple[int, ...] = ()  # besides the suite that is chosen
    group: str | None = "secp256r1"
    key: str = "rsa 4096"
    scheme: int = RSA_PSS_SHA256
    name: str = NAME
    compression: int = 0
    extended_master_secret: bool = True
    renegotiation_info: bool = True
    certificate_name: str = NAME
    large: bool = False
    lost: bool = False  # a ClientHello that is sent again and again
    clear: bool = False  # HTTP without TLS
    encrypt_then_mac: bool = False
    truncated_hmac: bool = False
    heartbeat: bool = False
    early_data: bool = False
    psk_only: bool = False  # TLS 1.3 without a key share in the ServerHello
    dh_bits: int = 3072
    schemes_besides: tuple[
        int, ...
    ] = ()  # signature schemes that the client offers besides those of SHA-256 and better
    signatures: bool = True  # the client lists signature schemes
    days: int = 90  # that the certificate is good for, from the tenth before the handshake on
    issuer: str = "ec p384"  # whose key signs the certificate
    mail: str = ""  # SMTP before it: "upgraded", or "clear" where STARTTLS is offered and not used


SCENES = {
    "tls13-hybrid": Scene(version=0x0304, suite=0x1302, group="SecP256r1MLKEM768", large=True),
    "tls13-x25519mlkem": Scene(version=0x0304, suite=0x1301, group="X25519MLKEM768", large=True),
    "tls13-mlkem1024": Scene(version=0x0304, suite=0x1302, group="MLKEM1024", large=True),
    "tls13-x25519": Scene(version=0x0304, suite=0x1301, group="x25519"),
    "tls13-p384": Scene(version=0x0304, suite=0x1302, group="secp384r1"),
    "tls13-chacha": Scene(version=0x0304, suite=0x1303, group="x25519"),
    "tls13-ccm8": Scene(version=0x0304, suite=0x1305, group="secp256r1"),
    "tls12-good": Scene(),
    "tls12-p384": Scene(suite=0xC02C, group="secp384r1", key="ec p384", scheme=0x0503),
    "tls12-p256": Scene(suite=0xC02B, key="ec p256", scheme=ECDSA_SHA256),
    "tls12-chacha": Scene(suite=0xCCA8, group="x25519"),
    "tls12-rsa2048": Scene(key="rsa 2048"),
    "tls12-rsa1024": Scene(key="rsa 1024"),
    "tls12-cbc": Scene(suite=0xC013),
    "tls12-secp256k1": Scene(group="secp256k1"),
    "tls12-sha1": Scene(scheme=RSA_SHA1, schemes_besides=(RSA_SHA1,)),
    "tls12-dhe": Scene(suite=0x009E, group=None, scheme=RSA_SHA256),
    "tls12-rsa": Scene(suite=0x009C, group=None),
    "tls12-rsa-cbc": Scene(suite=0x002F, group=None),
    "tls12-3des": Scene(suite=0x000A, group=None),
    "tls12-rc4-md5": Scene(suite=0x0004, group=None),
    "tls12-null": Scene(suite=0x0002, group=None),
    "tls12-anonymous": Scene(suite=0x006C, group=None),
    "tls12-static-ecdh": Scene(suite=0xC031, group=None),
    "tls12-offers-bad": Scene(offered=(0x0033, 0x0002, 0x0003)),
    "tls12-compressed": Scene(compression=1),
    "tls12-no-ems": Scene(extended_master_secret=False),
    "tls12-no-reneg": Scene(renegotiation_info=False),
    "tls12-wrong-name": Scene(certificate_name="other.example"),
    "not-fips": Scene(name=NOT_FIPS, certificate_name=NOT_FIPS),
    "tls11": Scene(version=0x0302, suite=0xC013),
    "tls10": Scene(version=0x0301, suite=0x002F, group=None),
    "ssl30": Scene(version=0x0300, suite=0x0005, group=None, extended_master_secret=False),
    "large-lost": Scene(group="X25519MLKEM768", large=True, lost=True),
    "clear": Scene(clear=True),
    "tls13-early-data": Scene(version=0x0304, suite=0x1301, group="secp256r1", early_data=True),
    "tls13-psk-only": Scene(version=0x0304, suite=0x1301, group="secp256r1", psk_only=True),
    "tls12-cbc-etm": Scene(suite=0xC027, encrypt_then_mac=True),
    "tls12-static-dh": Scene(suite=0x00A0, group=None),
    "tls12-dh1024": Scene(suite=0x009E, group=None, scheme=RSA_SHA256, dh_bits=1024),
    "tls12-mldsa": Scene(key="mldsa 87"),
    "tls12-truncated-hmac": Scene(suite=0xC027, truncated_hmac=True, heartbeat=True),
    "tls12-no-signatures": Scene(signatures=False),
    "smtp-upgraded": Scene(mail="upgraded"),
    "smtp-clear": Scene(mail="clear"),
    "tls12-signed-pkcs1": Scene(issuer="rsa 4096"),
    "tls12-exponent-3": Scene(key="rsa 4096 3"),
    "tls12-p521": Scene(suite=0xC02B, key="ec p521", scheme=0x0603),
    "tls12-old-age": Scene(suite=0xC02B, key="ec p256", scheme=ECDSA_SHA256, days=1097),
    "tls12-raw-key": Scene(suite=0xC02B, key="raw p256", scheme=ECDSA_SHA256),
    "tls12-expired": Scene(days=5),
    "tls12-md5": Scene(scheme=0x0101, schemes_besides=(0x0101,)),
}
MAIL = [("s", b"220 mail.example ESMTP\r\n"), ("c", b"EHLO x\r\n"), ("s", b"250-x\r\n250 STARTTLS\r\n")]
STARTTLS = [("c", b"STARTTLS\r\n"), ("s", b"220 go\r\n")]


@cache
def key_of(kind: str) -> Any:
    """A key pair, made once in a run."""
    family, size, *exponent = kind.split()
    if family == "mldsa":
        return mldsa.MLDSA87PrivateKey.generate()
    if family == "rsa":
        return rsa.generate_private_key(public_exponent=int(exponent[0]) if exponent else 65537, key_size=int(size))
    return ec.generate_private_key(CURVES[size])


@cache
def certificate(kind: str, name: str, issuer: str = "ec p384", days: int = 90) -> bytes:
    """A certificate of a CA for a server, as DER.

    Signed with SHA-384 where the key is on P-384, with ML-DSA where it is of that kind.
    """
    signer = key_of(kind if kind.startswith("mldsa") else issuer)
    digest = None if kind.startswith("mldsa") else hashes.SHA384() if kind == "ec p384" else hashes.SHA256()

    def named(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    built = (
        x509.CertificateBuilder()
        .subject_name(named(name[:64]))
        .issuer_name(named("Root"))
        .public_key(key_of(kind).public_key())
        .serial_number(7)
        .not_valid_before(BEGIN - timedelta(days=10))
        .not_valid_after(BEGIN + timedelta(days=days - 10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return built.sign(signer, digest).public_bytes(Encoding.DER)


def raw_key(kind: str) -> bytes:
    """A server's key without a certificate, as DER."""
    return bytes(key_of(kind).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _vector(data: bytes, size: int = 2) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _hello(scene: Scene) -> bytes:
    """The ClientHello: all groups that a scene needs, the suite that will be chosen, and the others it offers."""
    extensions = b""
    if scene.version >= 0x0301:
        groups = [scene.group] if scene.group else []
        if scene.group not in ("x25519", None):
            groups.append("x25519")
        if groups:
            listed = b"".join(struct.pack(">H", GROUPS[name]) for name in groups)
            extensions += wire.extension(10, _vector(listed)) + wire.extension(11, b"\1\0")
        if scene.extended_master_secret:
            extensions += wire.extension(23, b"")
        if scene.renegotiation_info:
            extensions += wire.extension(0xFF01, b"\0")
    if scene.version >= 0x0303 and scene.signatures:
        offered = (0x0403, 0x0503, 0x0804, 0x0401, *scene.schemes_besides)
        extensions += wire.extension(13, _vector(struct.pack(f">{len(offered)}H", *offered)))
    if scene.key.startswith("raw"):
        extensions += wire.extension(20, b"\1\2")
    if scene.version == 0x0304 and scene.group:
        size = 32 if scene.group == "x25519" else SHARES[scene.group]
        share = struct.pack(">H", GROUPS[scene.group]) + _vector(b"\x09" * size)
        if scene.early_data:
            extensions += wire.extension(42, b"")
        extensions += wire.extension(51, _vector(share)) + wire.extension(43, b"\x04\x03\x04\x03\x03")
    if scene.large:
        extensions += wire.extension(21, bytes(1500))
    message = wire.client_hello(scene.name, (scene.suite, *scene.offered), min(scene.version, 0x0303), extensions)
    if scene.compression:  # one method more: DEFLATE, RFC 3749
        at = 4 + 2 + 32 + 1 + 2 + 2 * (1 + len(scene.offered))
        body = message[4:at] + b"\x02\x01\0" + message[at + 2 :]
        message = wire.message(1, body)
    return message


def _answer(scene: Scene) -> bytes:
    """ServerHello, and to TLS 1.2 Certificate, ServerKeyExchange and ServerHelloDone."""
    extensions = b""
    if scene.version == 0x0304:
        assert scene.group is not None
        share = struct.pack(">H", GROUPS[scene.group]) + _vector(b"\x09" * SHARES[scene.group])
        key = wire.extension(41, b"\0\0") if scene.psk_only else wire.extension(51, share)
        extensions = wire.extension(43, b"\x03\x04") + key
        return wire.record(22, wire.server_hello(scene.suite, 0x0303, extensions))
    if scene.extended_master_secret:
        extensions += wire.extension(23, b"")
    if scene.renegotiation_info:
        extensions += wire.extension(0xFF01, b"\0")
    if scene.truncated_hmac:
        extensions += wire.extension(4, b"")
    if scene.encrypt_then_mac:
        extensions += wire.extension(22, b"")
    if scene.heartbeat:
        extensions += wire.extension(15, b"\1")
    if scene.key.startswith("raw"):
        extensions += wire.extension(20, b"\2")
    hello = wire.server_hello(scene.suite, scene.version, extensions)
    if scene.compression:
        at = 4 + 2 + 32 + 1 + 2
        hello = hello[:at] + bytes([scene.compression]) + hello[at + 1 :]
    flight = hello
    if scene.key.startswith("raw"):  # RFC 7250 3: the key alone, in no list
        flight += wire.message(11, _vector(raw_key(scene.key), 3))
    elif scene.suite != 0x006C:
        der = certificate(scene.key, scene.certificate_name, scene.issuer, scene.days)
        flight += wire.message(11, _vector(_vector(der, 3), 3))
    exchange = _exchange(scene)
    if exchange:
        flight += wire.message(12, exchange)
    return wire.record(22, flight + wire.message(14, b""), min(scene.version, 0x0303))


def _exchange(scene: Scene) -> bytes:
    signature = _vector(bytes(256))
    if scene.version >= 0x0303:
        signature = struct.pack(">H", scene.scheme) + signature
    if scene.suite in (0x009E, 0x006C):
        prime = next(prime for prime, name in known_primes(scene.dh_bits).items() if "weak" not in name)
        number = prime.to_bytes((prime.bit_length() + 7) // 8, "big")
        return _vector(number) + _vector(b"\2") + _vector(number[:-1]) + (b"" if scene.suite == 0x006C else signature)
    if scene.group is None:
        return b""
    return b"\3" + struct.pack(">H", GROUPS[scene.group]) + _vector(b"\x09" * SHARES[scene.group], 1) + signature


def _packets(scene: Scene, port: int) -> list[bytes]:
    if scene.clear:
        talk = wire.Talk(sport=port, dport=80).open()
        request = f"POST /v1/apps HTTP/1.1\r\nHost: {scene.name}\r\nContent-Length: 0\r\n\r\n".encode()
        return talk.play([("c", request), ("s", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]).close().packets
    if scene.mail == "clear":  # no name says whose it is: an address of AWS's does
        talk = wire.Talk(sport=port, server="52.46.130.10").open()
        return talk.play([*MAIL, ("c", b"MAIL FROM:<a@example.org>\r\n"), ("s", b"250 ok\r\n")]).close().packets
    talk = wire.Talk(sport=port).open()
    if scene.mail:
        talk.play([*MAIL, *STARTTLS])
    outer = 0x0300 if scene.version == 0x0300 else 0x0301
    hello = wire.record(22, _hello(scene), outer)
    begin = talk.next[0]
    talk.play([("c", hello)])
    if scene.lost:
        for _ in range(3):
            talk.send(0, hello[:1460], at=begin)
        return talk.packets
    legacy = min(scene.version, 0x0303)
    if scene.early_data:
        talk.play([("c", wire.record(23, bytes(100)))])
    talk.play([("s", _answer(scene))])
    if scene.version == 0x0304:
        talk.play([("s", wire.record(20, b"\1") + wire.record(23, bytes(900))), ("c", wire.record(20, b"\1"))])
        talk.play([("c", wire.record(23, bytes(69)))])
    else:
        last = wire.record(20, b"\1", legacy) + wire.record(22, bytes(40), legacy)
        talk.play([("c", wire.record(22, wire.message(16, bytes(66)), legacy) + last), ("s", last)])
    data = wire.record(23, bytes(200), legacy)
    return talk.play([("c", data), ("s", data)]).close().packets


def capture() -> bytes:
    """A pcap of all scenes; each has a client port of its own, in their order, and a second of time."""
    packets = []
    for number, scene in enumerate(SCENES.values()):
        start = int(BEGIN.timestamp()) * wire.SECOND + number * wire.SECOND * 10
        step = wire.SECOND if scene.lost else 1_000_000
        packets += [(start + k * step, data) for k, data in enumerate(_packets(scene, FIRST_PORT + number))]
    return wire.pcap(packets)


PORTS = {FIRST_PORT + number: name for number, name in enumerate(SCENES)}
