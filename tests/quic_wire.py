"""QUIC Initial packets and DTLS records, protected and laid out for tests, apart from the code that reads them."""

import itertools
import struct
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SALTS = {
    1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
    0x6B3343CF: "0dede3def700a6db819381be6e269dcbf9bd2ed9",
    0xFF00001D: "afbfec289993d24c9e9786f19c6111e04390a899",
    0x709A50C4: "a707c203a59b47184a1d62ca570406ea7ae3e5d3",
}
V2 = 0x6B3343CF
LIKE_V2 = (V2, 0x709A50C4)


def keys(version: int, connection_id: bytes, side: str) -> tuple[bytes, bytes, bytes]:
    """Key, IV and header protection key of ``client`` or ``server``."""
    extract = HMAC(bytes.fromhex(SALTS[version]), hashes.SHA256())
    extract.update(connection_id)
    secret = extract.finalize()

    def expand(secret: bytes, label: str, size: int) -> bytes:
        name = f"tls13 {label}".encode()
        info = struct.pack(">HB", size, len(name)) + name + b"\0"
        return HKDFExpand(hashes.SHA256(), size, info).derive(secret)

    prefix = "quicv2" if version in LIKE_V2 else "quic"
    own = expand(secret, f"{side} in", 32)
    return expand(own, f"{prefix} key", 16), expand(own, f"{prefix} iv", 12), expand(own, f"{prefix} hp", 16)


def varint(number: int) -> bytes:
    for size, limit in enumerate((1 << 6, 1 << 14, 1 << 30, 1 << 62)):
        if number < limit:
            return (number | size << (8 * (1 << size) - 2)).to_bytes(1 << size, "big")
    raise ValueError(number)


def crypto(offset: int, data: bytes) -> bytes:
    return b"\x06" + varint(offset) + varint(len(data)) + data


def initial(
    frames: bytes,
    original: bytes,
    side: str = "client",
    number: int = 0,
    version: int = 1,
    target: bytes | None = None,
    source: bytes = b"\x01\x02\x03\x04",
    token: bytes = b"",
    least: int = 1162,
    named: int | None = None,
) -> bytes:
    """A protected Initial packet, padded to ``least`` bytes of frames; ``original`` is the id that the keys come from.

    ``named``: the version that it calls itself, if not that whose keys it has.
    """
    key, iv, header_key = keys(version, original, side)
    frames = frames.ljust(least, b"\0")
    target = original if target is None else target
    kind = 1 if version in LIKE_V2 else 0
    first = 0xC0 | kind << 4 | 1  # two bytes of packet number
    head = struct.pack(">BI", first, version if named is None else named)
    head += bytes([len(target)]) + target + bytes([len(source)]) + source + varint(len(token)) + token
    head += struct.pack(">H", 0x4000 | (len(frames) + 16 + 2)) + struct.pack(">H", number)
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, head)
    sample = sealed[2:18]
    mask = Cipher(algorithms.AES(header_key), modes.ECB()).encryptor().update(sample)
    head = (
        bytes([first ^ (mask[0] & 15)]) + head[1:-2] + bytes(a ^ b for a, b in zip(head[-2:], mask[1:3], strict=True))
    )
    return head + sealed


def dtls_record(kind: int, body: bytes, number: int, epoch: int = 0, version: int = 0xFEFD) -> bytes:
    return struct.pack(">BHHHIH", kind, version, epoch, 0, number, len(body)) + body


def dtls_fragments(kind: int, body: bytes, message: int, cuts: Sequence[int] = ()) -> list[bytes]:
    """A handshake message in fragments that begin at ``cuts``, as handshake bodies of records."""
    edges = [0, *sorted({c for c in cuts if 0 < c < len(body)}), len(body)]
    fragments = []
    for begin, end in itertools.pairwise(edges):
        head = bytes([kind]) + len(body).to_bytes(3, "big") + struct.pack(">H", message)
        fragments.append(head + begin.to_bytes(3, "big") + (end - begin).to_bytes(3, "big") + body[begin:end])
    return fragments or [bytes([kind]) + b"\0\0\0" + struct.pack(">H", message) + b"\0\0\0\0\0\0"]
