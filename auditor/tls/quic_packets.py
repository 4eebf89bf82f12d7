"""QUIC's packets: the long headers of a datagram, and the keys that anyone can derive for Initial packets (RFC 9001 5)."""

import hmac
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from auditor.tls.quic_versions import DRAFT_OF_2, VERSION_2, draft_of

# Initial salts: RFC 9001 5.2, RFC 9369 3.3.1, and the drafts' (draft-ietf-quic-tls 5.2 of each).
SALT_1 = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
SALT_2 = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
SALT_OF_DRAFT_2 = bytes.fromhex("a707c203a59b47184a1d62ca570406ea7ae3e5d3")
DRAFT_SALTS = (  # first draft that has it, salt; newest first
    (33, SALT_1),
    (29, bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")),
    (23, bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")),
    (21, bytes.fromhex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a")),
    (17, bytes.fromhex("ef4fb0abb47470c41befcf8031334fae485e09a0")),
)
# Google's own drafts with TLS, before they joined the standard's numbers (QUICHE, crypto_utils).
GOOGLE_SALTS = {
    0x54303530: bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310"),
    0x54303531: bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d"),
}
# Frames of a packet whose tag is not there: padding or an ACK, then a CRYPTO frame that begins a hello.
BEGINS_HELLO = re.compile(rb"(?:[\0\1]*|\x02.{4,12}?)\x06\0(?:[\x40-\x7f].|[\0-\x3f])[\1\2][\0\1]..\x03\x03", re.DOTALL)
INITIAL, RETRY, NEGOTIATION, EARLY, OTHER = range(5)  # EARLY: 0-RTT
LIKE_VERSION_2 = (VERSION_2, DRAFT_OF_2)  # other types of packets, and labels of keys, than in version 1
SMALLEST_PACKET = 20  # bytes of a packet number and of what protects its header (RFC 9001 5.4.2)
# Whose salts are tried on versions that nobody registered, and on reserved ones (RFC 9000 15), which a client may send
# in front of any version of its own; the packet's tag proves the one.
TRIED = (1, VERSION_2, DRAFT_OF_2, *(0xFF000000 | first for first, _ in DRAFT_SALTS[1:]), *GOOGLE_SALTS)


def salt_of(version: int) -> bytes | None:
    if version in LIKE_VERSION_2:
        return SALT_2 if version == VERSION_2 else SALT_OF_DRAFT_2
    draft = draft_of(version)
    if draft is None:
        return SALT_1 if version == 1 else GOOGLE_SALTS.get(version)
    return next((salt for first, salt in DRAFT_SALTS if draft >= first), None)


class InitialKeys(NamedTuple):
    """What protects one side's Initial packets."""

    key: bytes
    aead: AESGCM
    iv: int
    mask: Any  # encrypts a sample for header protection


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 7.1), of one block at most."""
    name = b"tls13 " + label
    return hmac.digest(secret, bytes([0, size, len(name)]) + name + b"\0\1", "sha256")[:size]


@lru_cache(maxsize=64)
def initial_keys(version: int, connection_id: bytes) -> tuple[InitialKeys, InitialKeys] | None:
    """The keys of client and server; None for a version whose salt is not known."""
    salt = salt_of(version)
    if salt is None:
        return None
    secret = hmac.digest(salt, connection_id, "sha256")
    prefix = b"quicv2 " if version in LIKE_VERSION_2 else b"quic "
    keys = []
    for label in (b"client in", b"server in"):
        side = _expand(secret, label, 32)
        header = Cipher(algorithms.AES(_expand(side, prefix + b"hp", 16)), modes.ECB()).encryptor()  # noqa: S305 - RFC 9001 5.4.3
        iv = int.from_bytes(_expand(side, prefix + b"iv", 12), "big")
        key = _expand(side, prefix + b"key", 16)
        keys.append(InitialKeys(key, AESGCM(key), iv, header))
    return keys[0], keys[1]


class Packet(NamedTuple):
    """A long-header packet within a datagram; ``number_at`` is where its protected packet number begins."""

    kind: int
    version: int
    target: bytes
    source: bytes
    begin: int
    number_at: int
    end: int


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 16), and what follows it. Raises IndexError at the end of the data."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def _fits_initial(data: bytes, at: int) -> bool:
    """Whether a token and the length of a packet that fits begin at ``at``: version 2 calls Initial what others call 0-RTT."""
    try:
        token, at = varint(data, at)
        length, at = varint(data, at + token)
    except IndexError:
        return False
    return at + length <= len(data) and length > SMALLEST_PACKET


def packets(data: bytes) -> Iterator[Packet]:
    """The long-header packets of a datagram (RFC 9000 17.2), as far as they are whole."""
    at = 0
    try:
        while at < len(data) and data[at] & 0x80:
            begin, version = at, int.from_bytes(data[at + 1 : at + 5], "big")
            at += 5
            draft = draft_of(version)
            if draft is not None and draft < 22:  # both lengths in one byte, 3 less than they are
                lengths = [length + 3 if length else 0 for length in (data[at] >> 4, data[at] & 15)]
                at += 1
                target, source = data[at : at + lengths[0]], data[at + lengths[0] : at + sum(lengths)]
                at += sum(lengths)
            else:
                target = data[at + 1 : at + 1 + data[at]]
                at += 1 + data[at]
                source = data[at + 1 : at + 1 + data[at]]
                at += 1 + data[at]
            if version == 0:
                yield Packet(NEGOTIATION, version, target, source, begin, at, len(data))
                return
            kind = data[begin] >> 4 & 3
            if version in LIKE_VERSION_2 or (kind == 1 and salt_of(version) is None and _fits_initial(data, at)):
                kind = (kind - 1) & 3
            if kind == 3:
                yield Packet(RETRY, version, target, source, begin, at, len(data))
                return
            if kind == 0:
                token, at = varint(data, at)
                at += token
            length, at = varint(data, at)
            if at + length > len(data) and kind > 1:
                return
            yield Packet(
                INITIAL if kind == 0 else EARLY if kind == 1 else OTHER, version, target, source, begin, at, at + length
            )
            at += length
            at = len(data) - len(data[at:].lstrip(b"\0"))  # no packet, but padding outside of one (RFC 9000 12.2)
    except IndexError:
        return


def opened(data: bytes, packet: Packet, keys: InitialKeys, largest: int) -> tuple[bytes, int] | None:
    """The frames of an Initial packet and its number, if these are its keys (RFC 9001 5.3, 5.4).

    Of a packet that is cut off, the tag is not there: the frames are what these keys make of its beginning.
    """
    at = packet.number_at
    sample = data[at + 4 : at + 20]
    if len(sample) < 16:
        return None
    mask = keys.mask.update(sample)
    first = data[packet.begin] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number_bytes = bytes(a ^ b for a, b in zip(data[at : at + size], mask[1:5], strict=False))
    number, window = int.from_bytes(number_bytes, "big"), 1 << (8 * size)
    # RFC 9000 A.3: the number nearest to the one expected.
    number += (largest + 1) & ~(window - 1)
    if number <= largest + 1 - window // 2:
        number += window
    elif number > largest + 1 + window // 2 and number >= window:
        number -= window
    header = bytes([first]) + data[packet.begin + 1 : at] + number_bytes
    nonce = (keys.iv ^ number).to_bytes(12, "big")
    if packet.end > len(data):
        counter = modes.CTR(nonce + b"\0\0\0\2")  # where GCM begins to encrypt (NIST SP 800-38D 7.1)
        frames = Cipher(algorithms.AES(keys.key), counter).decryptor().update(data[at + size :])
        return (frames, number) if BEGINS_HELLO.match(frames) else None
    try:
        return keys.aead.decrypt(nonce, data[at + size : packet.end], header), number
    except InvalidTag:
        return None
