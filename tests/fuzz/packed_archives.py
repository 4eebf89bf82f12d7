"""Archives made wrong by their structure: headers whose checksums are right, and lists that do not say what is there."""

import contextlib
import io
import struct
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random

from auditor.capture import archives
from tests.fuzz import mutate, seeds

NUMBERS = (0, 1, 2, 20, 511, 512, 513, 0x7FFF, 0xFFFF, 1 << 31, 0xFFFFFFFF)
SIZES = (-(1 << 80), -1024, -512, -1, 0, 1, 511, 512, 1 << 20, 1 << 40, (1 << 63) - 1, 1 << 80)
KINDS = (b"0", b"1", b"2", b"3", b"5", b"7", b"L", b"K", b"S", b"x", b"g", b"X", b"N", b"\0")
RECORDS = (b"size", b"path", b"linkpath", b"mtime", b"uid", b"hdrcharset", b"GNU.sparse.map", b"GNU.sparse.size",
           b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.numblocks", b"GNU.sparse.offset", b"GNU.sparse.name")  # fmt: skip
VALUES = (b"0", b"1", b"-1", b"-1024", b"9" * 30, b"nan", b"1,2,3", b"a", b"\xff\n", b"", b"x" * 5000, b"BINARY")
LISTED = b"PK\1\2"  # an entry of a ZIP archive's list
FIELDS = {b"PK\3\4": 13, LISTED: 21, b"PK\5\6": 9}  # numbers of two bytes behind each magic


def make(random: Random) -> bytes:
    """A tar or a ZIP archive, more often wrong in some fields than in any bytes."""
    data = _tar(random) if random.random() < 0.6 else _zip(random)
    return mutate.octets(random, data) if random.random() < 0.1 else data


def read(path: Path) -> None:
    """List it, and read the beginning of what is in it, as an audit does that finds no capture there."""
    for member in (archives.members(path) or [])[:8]:
        if member.open is not None:
            with contextlib.suppress(OSError), member.open() as stream:
                stream.read(1 << 16)


def _tar(random: Random) -> bytes:
    parts: list[bytes] = []
    for _ in range(random.randint(1, 5)):
        match random.randrange(8):
            case 0 | 1 | 2:
                body = seeds.capture()
                parts += [_header(random, len(body), b"0"), _padded(body)]
            case 3 | 4:
                body = b"".join(_record(random) for _ in range(random.randint(1, 3)))
                parts += [_header(random, len(body), random.choice((b"x", b"x", b"g", b"X"))), _padded(body)]
            case 5:
                parts += [_header(random, random.choice(SIZES), random.choice(KINDS)), bytes(512 * random.randrange(3))]
            case 6:
                body = random.choice(VALUES)
                parts += [_header(random, len(body), random.choice((b"L", b"K"))), _padded(body)]
            case _:
                parts.append(random.choice((bytes(512), bytes(1024), random.randbytes(512), b"")))
    return b"".join(parts * random.choice((1, 1, 1, 1, 60))) + bytes(random.choice((0, 512, 1024, 10240)))


def _header(random: Random, size: int, kind: bytes) -> bytes:
    """The header of a member with its checksum; sometimes some other field is wrong."""
    header = bytearray(tarfile.TarInfo(random.choice(("a.pcap", "b", "../c.pcap", "d/", "e" * 99))).tobuf())
    header[156:157] = kind
    header[124:136] = (
        (b"\xff" + (size % (1 << 88)).to_bytes(11, "big")) if size < 0 else b"\x80" + size.to_bytes(11, "big")
    )
    if random.random() < 0.3:
        at = random.choice((0, 100, 108, 124, 136, 257, 263, 345, 386, 482))
        header[at : at + 8] = random.choice((random.randbytes(8), b"77777777", b"\xff" * 8, b"\x80" * 8, bytes(8)))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _record(random: Random) -> bytes:
    """A record of pax, mostly as long as it says."""
    text = b" %s=%s\n" % (random.choice(RECORDS), random.choice(VALUES))
    length = len(text) + len(str(len(text) + 2))
    return str(length if random.random() < 0.9 else random.choice(SIZES)).encode() + text


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _zip(random: Random) -> bytes:
    data = bytearray(random.choice(_zipped()))
    for _ in range(random.randint(1, 4)):
        magic = random.choice(tuple(FIELDS))
        places = [at for at in range(len(data)) if data.startswith(magic, at)]
        at = random.choice(places) + 4 + 2 * random.randrange(FIELDS[magic])
        form = random.choice("HI")
        value = random.choice(NUMBERS) if random.random() < 0.6 else random.randrange(1 << 16)
        data[at : at + struct.calcsize(form)] = struct.pack("<" + form, value & (0xFFFF if form == "H" else 0xFFFFFFFF))
    return bytes(data)


@cache
def _zipped() -> list[bytes]:
    """An archive by each method, and one with sizes and places of 64 bits."""
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(file := io.BytesIO(), "w", method) as archive:
            archive.writestr("a.pcap", seeds.capture())
            archive.writestr("b", b"no capture")
            with archive.open("c.pcap", "w", force_zip64=True) as stream:
                stream.write(seeds.capture())
        made.append(file.getvalue())
    return made
