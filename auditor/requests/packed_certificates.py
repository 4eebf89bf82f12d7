"""Certificates that TLS 1.3 packs (RFC 8879), unpacked within bounds: what cannot be opened is said, and why."""

import zlib
from importlib import import_module
from typing import NamedTuple

ZLIB, BROTLI, ZSTD = 1, 2, 3
NAMES = {ZLIB: "zlib", BROTLI: "brotli", ZSTD: "zstd"}
MOST_BYTES = 120_000  # of a chain that is handed out
LARGEST_WINDOW = 1 << 23  # bytes that zstd may look back (RFC 8878 3.1.1.1.2)
TOO_LONG = f"the certificates take more than {MOST_BYTES} bytes and are not read"
DAMAGED = "the compressed certificates cannot be unpacked"


class UnpackedChain(NamedTuple):
    """Certificates as hexadecimal digits, or why they are not known."""

    certificates: list[str]
    unread: str | None = None


def chain(algorithm: int, size: int, packed: bytes) -> UnpackedChain:
    """What a CompressedCertificate has; ``size``: how long the Certificate message that it stands for says to be."""
    if size > MOST_BYTES:
        return UnpackedChain([], TOO_LONG)
    if algorithm not in (ZLIB, ZSTD):
        name = NAMES.get(algorithm, f"algorithm {algorithm}")
        return UnpackedChain([], f"the certificates are compressed with {name}, which is not unpacked here")
    try:
        message = _unpacked(algorithm, size, packed)
    except (zlib.error, ImportError, ValueError, RuntimeError):
        message = b""
    except Exception as error:  # zstandard has an error of its own, which must not be imported for that
        if type(error).__name__ != "ZstdError":
            raise
        message = b""
    # RFC 8879 4: a message of another length than the one told is not valid.
    found = _certificates(message) if len(message) == size else None
    return UnpackedChain([], DAMAGED) if found is None else UnpackedChain(found)


def _unpacked(algorithm: int, size: int, packed: bytes) -> bytes:
    """The message, and one byte more where there are more than ``size``."""
    if algorithm == ZLIB:
        return zlib.decompressobj().decompress(packed, size + 1)
    unpacker = import_module("zstandard").ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    with unpacker.stream_reader(packed) as reader:
        return bytes(reader.read(size + 1))


def _certificates(message: bytes) -> list[str] | None:
    """The certificates of a Certificate message of TLS 1.3 (RFC 8446 4.4.2); None where its lengths do not hold."""
    at = 1 + message[0] if message else 0
    end = at + 3 + int.from_bytes(message[at : at + 3], "big")
    if not message or end != len(message):
        return None
    at, found = at + 3, []
    while at < end:
        size = int.from_bytes(message[at : at + 3], "big")
        found.append(message[at + 3 : at + 3 + size].hex())
        at += 3 + size
        at += 2 + int.from_bytes(message[at : at + 2], "big")
    return found if at == end else None
