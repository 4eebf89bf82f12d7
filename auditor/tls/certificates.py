"""Certificates as they were sent: to TLS 1.2 every one, in TLS 1.3 they are encrypted.

``cryptography`` parses them. What it refuses is still recorded: the hash of its DER, and why.
"""

import hashlib
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from auditor.tables import arrow
from auditor.tls import der as der_of
from auditor.tls.algorithms import ALGORITHMS, CURVE_NAMES, RAW_KEY
from auditor.tls.certificate_messages import ders

LONGEST_TEXT = 4096  # of a name or of a list of names that is kept
MOST_KEPT, MOST_BYTES = 200_000, 800 << 20  # distinct certificates of one audit, and about what they take
# About what a certificate takes besides its texts, and a name in it besides its letters, which are kept several times.
OBJECT_BYTES, NAME_BYTES, COPIES = 3_000, 250, 4
# Bits of a key, and of the exponent of an RSA key, with which a self-signature is verified: it takes the time of their
# product, thousands of times as long as for keys in use. FIPS 186-5 5.1 has exponents below 2^256, everybody 65537.
LARGEST_KEY, LONGEST_EXPONENT = 8192, 64
_PARSING = threading.Lock()  # the filters of warnings are the process's: two audits must not leave each other's behind

ALGORITHMS |= {f"2.16.840.1.101.3.4.3.{n}": f"SLH-DSA ({n})" for n in range(20, 32)}
KEY_TYPES = {"rsaEncryption": "rsa", "rsassaPss": "rsa", "id-ecPublicKey": "ecdsa", "dsaEncryption": "dsa"}
CURVES = {"secp256r1": "prime256v1", "secp192r1": "prime192v1"}  # as OpenSSL names them
# Attribute types that RFC 4514 has no short name for, as OpenSSL names them.
ATTRIBUTES = {
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.9": "street",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "GN",
    "2.5.4.97": "organizationIdentifier",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}


@dataclass
class Certificate:
    """What one certificate says. Times are nanoseconds since 1970; ``problem`` says what could not be parsed."""

    certificate_id: str
    version: int | None = None
    serial: str | None = None
    subject: str | None = None
    issuer: str | None = None
    not_before: int | None = None
    not_after: int | None = None
    san_dns: str | None = None
    san_ip: str | None = None
    san_email: str | None = None
    key_algorithm: str | None = None
    key_type: str | None = None
    key_bits: int | None = None
    exponent: str | None = None
    curve: str | None = None
    signature_algorithm: str | None = None
    weak: str | None = None
    is_ca: bool | None = None
    self_signed: bool | None = None
    scts: int | None = None
    must_staple: bool | None = None
    problem: str | None = None
    beyond: frozenset[str] = frozenset()  # names that are too many to be shown: all of them are compared
    # Of the audit, not of the certificate.
    roles: set[str] = field(default_factory=set)
    handshakes: int = 0
    first_seen: int = 0

    def merge(self, other: "Certificate") -> "Certificate":
        """The same certificate as two parts of an audit have seen it."""
        seen = [time for time in (self.first_seen, other.first_seen) if time]
        return replace(
            self,
            roles=self.roles | other.roles,
            handshakes=self.handshakes + other.handshakes,
            first_seen=min(seen, default=0),
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """The names it is good for: subject alternative names, else the common name (RFC 6125 6.4.4)."""
        names = [*(self.san_dns or "").split(), *(self.san_ip or "").split(), *self.beyond]
        if not names:
            names = [part[3:] for part in (self.subject or "").split(",") if part.startswith("CN=")]
        return frozenset(name.lower().rstrip(".") for name in names)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        texts = [self.subject, self.issuer, self.san_dns, self.san_ip, self.san_email, self.problem]
        given = [text for text in texts if text]
        letters = sum(map(len, given)) + sum(map(len, self.beyond))
        count = sum(text.count(" ") + 1 for text in given) + len(self.beyond)
        return OBJECT_BYTES + COPIES * letters + NAME_BYTES * count

    def fits(self, name: str | None) -> bool | None:
        """Whether it is good for a server name. None: not known."""
        return is_named(self.names, name) if name and self.subject is not None else None


def is_named(names: frozenset[str], host: str) -> bool:
    """Whether a host is among the names of a certificate (RFC 6125 6.4: a wildcard stands for one label)."""
    wanted = host.lower().rstrip(".")
    return wanted in names or f"*.{wanted.partition('.')[2]}" in names


def _text(value: str) -> str:
    """Attacker-controlled text, with what is not printable escaped and of bounded length."""
    clean = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
    return clean if len(clean) <= LONGEST_TEXT else clean[:LONGEST_TEXT] + "…"


def _nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970, kept within what a timestamp can hold (to the year 2262)."""
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return max(-(2**63) + 1, min(2**63 - 1, seconds * 10**9))


def parse(der: bytes) -> Certificate:
    """Read a certificate; nothing raises, what cannot be read is described in ``problem``."""
    from cryptography.utils import CryptographyDeprecationWarning

    with (
        _PARSING,
        warnings.catch_warnings(),
    ):  # about certificates that break RFC 5280: they are the network's, not ours
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return _parse(der)


def _parse(der: bytes) -> Certificate:
    from cryptography import x509

    parsed = Certificate(hashlib.sha256(der).hexdigest())
    try:
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        return _raw_key(parsed, der) or _with_problem(parsed, f"not a certificate that can be parsed: {error}")
    steps: list[tuple[str, Callable[[Certificate, Any], None]]] = [
        ("subject and issuer", _read_names),
        ("validity", _read_validity),
        ("public key", _read_key),
        ("signature", _read_signature),
        ("extensions", _read_extensions),
        ("self-signature", _read_self_signed),
    ]
    for what, step in steps:
        try:
            step(parsed, certificate)
        except Exception as error:  # noqa: BLE001 - hostile input; whatever the parser raises is recorded
            _with_problem(parsed, f"{what}: {str(error) or type(error).__name__}")
    return parsed


def _with_problem(parsed: Certificate, problem: str) -> Certificate:
    problem = _text(problem)
    parsed.problem = f"{parsed.problem}; {problem}" if parsed.problem else problem
    return parsed


def _raw_key(parsed: Certificate, der: bytes) -> Certificate | None:
    """A raw public key (RFC 7250) stands where a certificate would."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(der)
    except Exception:  # noqa: BLE001 - it is none
        return None
    parsed.key_algorithm = RAW_KEY
    _describe_key(parsed, key)
    return parsed


def _read_names(parsed: Certificate, certificate: Any) -> None:
    parsed.version = certificate.version.value + 1
    number = certificate.serial_number
    digits = f"{abs(number):X}"
    parsed.serial = ("-" if number < 0 else "") + digits.rjust(len(digits) + len(digits) % 2, "0")
    parsed.subject, parsed.issuer = _name(certificate.subject), _name(certificate.issuer)


def _name(name: Any) -> str:
    from cryptography.x509 import ObjectIdentifier

    return _text(str(name.rfc4514_string({ObjectIdentifier(oid): short for oid, short in ATTRIBUTES.items()})))


def _read_validity(parsed: Certificate, certificate: Any) -> None:
    parsed.not_before = _nanoseconds(certificate.not_valid_before_utc)
    parsed.not_after = _nanoseconds(certificate.not_valid_after_utc)


def _algorithm(oid: Any) -> str:
    dotted = str(oid.dotted_string)
    return ALGORITHMS.get(dotted, dotted)


def _read_key(parsed: Certificate, certificate: Any) -> None:
    parsed.key_algorithm = _algorithm(certificate.public_key_algorithm_oid)
    parsed.key_type = KEY_TYPES.get(parsed.key_algorithm, parsed.key_algorithm)
    try:
        key = certificate.public_key()
    except Exception:
        spki = der_of.spki(certificate.tbs_certificate_bytes) or b""
        if parsed.key_type == "ecdsa":
            parsed.curve = CURVE_NAMES.get(der_of.curve(spki) or "")
        rsa = der_of.rsa_bits(spki) if "rsa" in parsed.key_algorithm.lower() else None
        if rsa is None:
            raise
        parsed.key_type, parsed.key_bits, parsed.exponent = "rsa", rsa[0], str(rsa[1])
        return
    _describe_key(parsed, key)


def _describe_key(parsed: Certificate, key: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    parsed.key_bits = getattr(key, "key_size", None)
    if parsed.key_bits is None and parsed.key_type and parsed.key_type.startswith("ML-DSA"):
        parsed.key_bits = 8 * len(key.public_bytes_raw())
    if isinstance(key, rsa.RSAPublicKey):
        parsed.key_type, parsed.exponent = "rsa", str(key.public_numbers().e)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        parsed.key_type, parsed.curve = "ecdsa", CURVES.get(key.curve.name, key.curve.name)
    elif isinstance(key, dsa.DSAPublicKey):
        parsed.key_type = "dsa"


def _read_signature(parsed: Certificate, certificate: Any) -> None:
    parsed.signature_algorithm = name = _algorithm(certificate.signature_algorithm_oid)
    if name == "rsassaPss":
        hashed = certificate.signature_hash_algorithm
        parsed.signature_algorithm = f"rsassaPss ({hashed.name})" if hashed else name
    lower = parsed.signature_algorithm.lower()
    parsed.weak = next((weak for weak in ("md2", "md5", "sha1") if weak in lower), None)


def _read_extensions(parsed: Certificate, certificate: Any) -> None:
    from cryptography import x509

    parsed.scts, parsed.must_staple = 0, False
    try:
        extensions = list(certificate.extensions)
    except ValueError:  # one entry that cannot be read does not take the other names away
        _take_names(parsed, der_of.names(certificate.tbs_certificate_bytes))
        raise
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            parsed.is_ca = value.ca
        elif isinstance(value, x509.SubjectAlternativeName):
            names = {"dns": list(value.get_values_for_type(x509.DNSName))}
            names["ip"] = [str(one) for one in value.get_values_for_type(x509.IPAddress)]
            _take_names(parsed, names | {"email": list(value.get_values_for_type(x509.RFC822Name))})
        elif isinstance(value, x509.PrecertificateSignedCertificateTimestamps):
            parsed.scts = len(list(value))
        elif isinstance(value, x509.TLSFeature):
            parsed.must_staple = x509.TLSFeatureType.status_request in value


def _take_names(parsed: Certificate, names: dict[str, list[str]]) -> None:
    """The names of subjectAltName: those that are shown, and all where they are too many for that."""
    parsed.san_dns, parsed.san_ip, parsed.san_email = (_joined(names[kind]) for kind in ("dns", "ip", "email"))
    if any(text is not None and text.endswith("…") for text in (parsed.san_dns, parsed.san_ip)):
        parsed.beyond = frozenset((_joined([name]) or "") for name in [*names["dns"], *names["ip"]])


def _joined(names: Any) -> str | None:
    """Names with spaces between; a space inside one is escaped."""
    return _text(" ".join(str(name).replace(" ", "\\x20") for name in names)) or None


def _read_self_signed(parsed: Certificate, certificate: Any) -> None:
    """Signed by its own key, where that can be verified; otherwise whether subject and issuer are the same."""
    parsed.self_signed = certificate.subject == certificate.issuer
    if not parsed.self_signed:
        return
    if (parsed.key_bits or 0) > LARGEST_KEY or int(parsed.exponent or 0).bit_length() > LONGEST_EXPONENT:
        parsed.self_signed = None
        _with_problem(parsed, "self-signature: not verified, the numbers of its key are larger than any in use")
        return
    try:
        certificate.verify_directly_issued_by(certificate)
    except Exception as error:  # noqa: BLE001 - algorithms that are not supported are no proof against it
        parsed.self_signed = (
            None if type(error).__name__ in ("UnsupportedAlgorithm", "TypeError", "ValueError") else False
        )


@dataclass
class Chain:
    """The certificates of one Certificate message."""

    certificates: list[Certificate]

    @property
    def leaf(self) -> Certificate | None:
        """The first: whose chain it is."""
        return self.certificates[0] if self.certificates else None

    @property
    def path(self) -> list[Certificate]:
        """What is verified: all certificates but a root; one whose names cannot be parsed is not known to be that."""
        return [c for n, c in enumerate(self.certificates) if n == 0 or c.subject is None or c.subject != c.issuer]

    @property
    def order(self) -> str | None:
        """Whether each is issued by the next, and whether the chain ends at a root."""
        if not self.certificates:
            return None
        pairs = zip(self.certificates, self.certificates[1:], strict=False)
        if any(one.issuer != two.subject or one.issuer is None for one, two in pairs):
            return "out of order"
        last = self.certificates[-1]
        if len(self.certificates) == 1:
            return "self-signed" if last.self_signed else "leaf only"
        return "in order, with root" if last.subject == last.issuer else "in order"


@dataclass(eq=False, repr=False)
class Certificates:
    """The distinct certificates of an audit or a part of it. Where they are too many, those met first are let go."""

    known: OrderedDict[str, Certificate] = field(default_factory=OrderedDict)
    left_out: int = 0  # rows of the table that were let go; what they say of handshakes is in these
    most: int = MOST_BYTES
    _size: int = 0

    def merge(self, other: "Certificates") -> "Certificates":
        """The certificates of both; neither is added to after that."""
        both = self.known.copy()
        for identity, certificate in other.known.items():
            both[identity] = both[identity].merge(certificate) if identity in both else certificate
        return Certificates(both, self.left_out + other.left_out)

    def chain(self, message: bytes) -> Chain:
        """The chain of a message; each certificate is parsed once."""
        certificates = []
        for der in ders(message):
            identity = hashlib.sha256(der).hexdigest()
            if identity not in self.known:
                self._keep(identity, parse(der))
            certificates.append(self.known[identity])
        return Chain(certificates)

    def _keep(self, identity: str, parsed: Certificate) -> None:
        self.known[identity] = parsed
        self._size += parsed.size
        while len(self.known) > 1 and (len(self.known) > MOST_KEPT or self._size > self.most):
            _, gone = self.known.popitem(last=False)
            self._size -= gone.size
            self.left_out += 1

    def note(self, chain: Chain, role: str, count: int, time: int) -> None:
        """``count`` handshakes showed ``chain``, the first at ``time``; ``role``: whose it was."""
        for position, certificate in enumerate(chain.certificates):
            certificate.roles.add(role if position == 0 else "issuer")
            certificate.handshakes += count
            certificate.first_seen = min(certificate.first_seen or time, time)

    def table(self) -> pa.Table:
        """The table ``certificates``, in the order of first sight."""
        rows = sorted(self.known.values(), key=lambda c: (c.first_seen, c.certificate_id))
        names = [name for name in Certificate.__dataclass_fields__ if name not in ("roles", "beyond")]
        columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in names}
        columns["roles"] = [" ".join(sorted(row.roles)) or None for row in rows]
        return arrow.build("certificates", columns)
