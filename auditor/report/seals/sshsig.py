"""Signatures in the form of OpenSSH's ``ssh-keygen -Y``: PROTOCOL.sshsig of its sources; keys and signatures in that of RFC 4253.

What is signed is the message's digest together with a namespace, which keeps a signature of one purpose from being taken
for one of another.
"""

import base64
import binascii
import hashlib
import struct
import textwrap
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MAGIC = b"SSHSIG"
VERSION = 1
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
DIGESTS = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
SMALLEST_RSA = 2048  # bits
# RFC 8332: RSA signatures with SHA-1 are none here.
RSA = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}
# RFC 5656, 6.2.1: the digest goes with the size of the curve.
CURVES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512(),
}  # fmt: skip


class SignatureError(Exception):
    """It is no signature, or does not fit; the message says why, without a name."""


@dataclass(frozen=True)
class SshSignature:
    """A signature as it is read: whose key, for which purpose, and over which kind of digest."""

    key: bytes  # the public key as RFC 4253 has it
    namespace: str
    digest: str
    algorithm: bytes
    value: bytes


def blob_of(key: PublicKey) -> bytes:
    """A public key as RFC 4253, 6.6 writes it."""
    return base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def fingerprint(blob: bytes) -> str:
    """A key's fingerprint as OpenSSH shows it."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class _Fields:
    """The fields of a signature, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        if len(taken) < size:
            raise SignatureError("it is cut off")
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def end(self) -> None:
        if self._data:
            raise SignatureError("something follows it")


def _signed(namespace: str, digest: str, message: bytes) -> bytes:
    """What the key signs."""
    parts = (namespace.encode(), b"", digest.encode(), DIGESTS[digest](message).digest())
    return MAGIC + b"".join(map(_string, parts))


def _mpint(number: int) -> bytes:
    """RFC 4251, 5: a number with room for its sign."""
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def sign(key: PrivateKey, namespace: str, message: bytes) -> str:
    """The signature of a message, as text. Raises SignatureError for keys that OpenSSH does not know."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < SMALLEST_RSA:
        raise SignatureError(f"an RSA key of {key.key_size} bits is too short: take one of at least {SMALLEST_RSA}")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in CURVES:
        raise SignatureError(f"keys on the curve {key.curve.name} are not known to OpenSSH")
    blob, signed = blob_of(public), _signed(namespace, "sha512", message)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm, value = b"ssh-ed25519", key.sign(signed)
    elif isinstance(key, rsa.RSAPrivateKey):
        algorithm, value = b"rsa-sha2-512", key.sign(signed, padding.PKCS1v15(), hashes.SHA512())
    else:
        pair = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(CURVES[key.curve.name])))
        algorithm, value = _Fields(blob).string(), b"".join(map(_mpint, pair))
    whole = MAGIC + struct.pack(">I", VERSION)
    whole += b"".join(map(_string, (blob, namespace.encode(), b"", b"sha512", _string(algorithm) + _string(value))))
    return "\n".join([BEGIN, *textwrap.wrap(base64.b64encode(whole).decode(), 70), END, ""])


def parse(text: bytes) -> SshSignature:
    """A signature as ``ssh-keygen -Y sign`` writes it. Raises SignatureError."""
    lines = text.decode("ascii", "replace").strip().splitlines()
    if len(lines) < 3 or lines[0].strip() != BEGIN or lines[-1].strip() != END:
        raise SignatureError("it is no SSH signature")
    try:
        fields = _Fields(base64.b64decode("".join(line.strip() for line in lines[1:-1]), validate=True))
    except (binascii.Error, ValueError) as error:
        raise SignatureError("it is no base64") from error
    if fields.take(len(MAGIC)) != MAGIC or fields.number() != VERSION:
        raise SignatureError("it is no SSH signature of version 1")
    key, namespace, _, digest, inner = (fields.string() for _ in range(5))
    fields.end()
    value = _Fields(inner)
    algorithm, raw = value.string(), value.string()
    value.end()
    if digest.decode("ascii", "replace") not in DIGESTS:
        raise SignatureError("its digest is neither SHA-256 nor SHA-512")
    return SshSignature(key, namespace.decode("utf-8", "replace"), digest.decode(), algorithm, raw)


def check(signature: SshSignature, namespace: str, message: bytes) -> None:
    """Whether the signature's key signed this message for that purpose. Raises SignatureError where it did not."""
    if signature.namespace != namespace:
        raise SignatureError(f"its namespace is {signature.namespace!r}, and not {namespace!r}")
    signed = _signed(namespace, signature.digest, message)
    name = _Fields(signature.key).string()
    try:
        key = load_ssh_public_key(name + b" " + base64.b64encode(signature.key))
        _check_value(key, name, signature, signed)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"keys of the kind {name.decode('ascii', 'replace')!r} are not understood") from error
    except InvalidSignature as error:
        raise SignatureError("it is of something else: what is signed was changed, or another key signed") from error


def _check_value(key: object, name: bytes, signature: SshSignature, signed: bytes) -> None:
    """As ``check``; what the libraries raise passes through."""
    if isinstance(key, ed25519.Ed25519PublicKey) and signature.algorithm == name:
        key.verify(signature.value, signed)
    elif isinstance(key, rsa.RSAPublicKey) and signature.algorithm in RSA and key.key_size >= SMALLEST_RSA:
        key.verify(signature.value, signed, padding.PKCS1v15(), RSA[signature.algorithm])
    elif isinstance(key, ec.EllipticCurvePublicKey) and signature.algorithm == name:
        pair = _Fields(signature.value)
        r, s = (int.from_bytes(pair.string(), "big") for _ in range(2))
        pair.end()
        key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(CURVES[key.curve.name]))
    else:
        raise SignatureError(f"{name.decode('ascii', 'replace')} with {signature.algorithm!r} is not accepted")
