"""Secrets of TLS sessions: key logs, secrets inside a pcapng, and private keys of servers.

A key log is the text that browsers, curl, Python and others write to SSLKEYLOGFILE (draft-ietf-tls-keylogfile), with the
kinds of line that Wireshark knows besides. Secrets are held in memory only, and only as long as the audit runs.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from operator import or_
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from auditor.border import gate
from auditor.capture import folders
from auditor.errors import InputError, shown

Array = np.ndarray[Any, Any]

# What may stand before and behind a secret where a log system or an editor wrote the line: {"log":"CLIENT_RANDOM … \\n"}.
_BEFORE, _BEHIND = rb"(?:^|[^0-9A-Za-z_])", rb"(?=$|[\s\"'`\\,;|)\]}<])"
_SESSION = re.compile(
    _BEFORE + rb"(CLIENT_RANDOM|PMS_CLIENT_RANDOM|CLIENT_EARLY_TRAFFIC_SECRET|CLIENT_HANDSHAKE_TRAFFIC_SECRET"
    rb"|SERVER_HANDSHAKE_TRAFFIC_SECRET|CLIENT_TRAFFIC_SECRET_\d{1,4}|SERVER_TRAFFIC_SECRET_\d{1,4}"
    rb"|EARLY_EXPORTER_SECRET|EXPORTER_SECRET|ECH_SECRET|ECH_CONFIG)"
    rb"[ \t]+([0-9a-f]{64})[ \t]+([0-9a-f]{32,8192})" + _BEHIND,
    re.IGNORECASE,
)
_OTHER = re.compile(
    _BEFORE
    + rb"(RSA (?:[0-9a-fA-F]{16} [0-9a-fA-F]{96}|Session-ID:[0-9a-fA-F]{0,64} Master-Key:[0-9a-fA-F]{96}))"
    + _BEHIND
)
# What a secret opens, by how its label begins: a whole session; of TLS 1.3, one side's handshake or data.
ALL, CLIENT_DATA, SERVER_DATA, CLIENT_HANDSHAKE, SERVER_HANDSHAKE = 1, 2, 4, 8, 16
CONTRADICTED = 32  # two secrets of one label differ
OPENS = {
    b"CLIENT_RANDOM": ALL,
    b"PMS_CLIENT_RANDOM": ALL,
    b"CLIENT_TRAFFIC_SECRET": CLIENT_DATA,
    b"SERVER_TRAFFIC_SECRET": SERVER_DATA,
    b"CLIENT_HANDSHAKE_TRAFFIC": CLIENT_HANDSHAKE,
    b"SERVER_HANDSHAKE_TRAFFIC": SERVER_HANDSHAKE,
}
# Byte order marks (Unicode 23.8), and the encodings that they begin; that of UTF-32 begins as that of UTF-16.
MARKS = {b"\xff\xfe\0\0": "utf-32-le", b"\0\0\xfe\xff": "utf-32-be"}
MARKS |= {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
LONGEST_MARK = 4
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,16}[A-Za-z]")  # by which tools mark what they show (ECMA-48 8.3.117)
LONGEST_LINE = 16 << 10
BLOCK = 4 << 20
MOST_AT_ONCE = 256 << 20  # bytes of what was written to a key log since it was read
LINE = 480  # bytes that a line of secrets takes in memory
NONE_AFTER = 64 << 20  # bytes without a secret, behind which no more is read of what cannot be a key log
MOST_COMPARED = 16  # lines of a session, which has eight at most
MOST_TRIED = 8  # secrets, or sets of them, that a session is opened with
EXAMPLE = "CLIENT_RANDOM <64 hexadecimal digits> <96 hexadecimal digits>"


@dataclass(eq=False, repr=False)
class KeyLog:
    """What a key log holds, by the first half of the client random that begins each line."""

    name: str
    lines: int = 0
    wrong: int = 0
    sessions: int = 0
    left_out: int = 0  # lines of secrets for which there was no memory


@dataclass(eq=False, repr=False)
class Keys:
    """All secrets of an audit."""

    by_random: dict[bytes, list[bytes]] = field(default_factory=dict)
    of_any: list[bytes] = field(default_factory=list)  # lines that name no client random
    private_keys: list[Path] = field(default_factory=list)
    logs: list[KeyLog] = field(default_factory=list)
    lines: int = 0
    most: int = 4_000_000  # lines that are kept
    _sorted: Array | None = None  # second quarters of the client randoms
    _opens: dict[bytes, int] = field(default_factory=dict)  # what secrets open, by the halves of client randoms
    followed: dict[Path, tuple[KeyLog, int]] = field(default_factory=dict)  # key logs, and how far they were read

    def __bool__(self) -> bool:
        return bool(self.by_random or self.of_any or self.private_keys)

    @property
    def opens_rsa(self) -> bool:
        """Whether sessions with RSA key exchange can be opened though no client random is known."""
        return bool(self.of_any or self.private_keys)

    def add(self, name: str, parts: Iterable[bytes], log: KeyLog | None = None) -> KeyLog:
        """Take in a key log, or more of one, given in pieces of any size."""
        if log is None:
            log = KeyLog(name)
            self.logs.append(log)
        before = len(self.by_random)
        for written in _lines(_plain(parts)):
            text = (_COLOUR.sub(b" ", written) if b"\x1b" in written else written).strip()
            if not text or text.startswith(b"#"):
                continue
            log.lines += 1
            if self.lines >= self.most:
                log.left_out += _is_secret(text)
                continue
            if (match := _SESSION.search(text)) is not None:
                line, random = _canonical(match), bytes.fromhex(match[2].decode())
                kept = self.by_random.setdefault(random, [])
                self._opens[random[:16]] = self._opens.get(random[:16], 0) | _opening(line) | _contradicts(line, kept)
            elif (match := _OTHER.search(text)) is not None:
                kept, line = self.of_any, match[1]
            else:
                log.wrong += 1
                continue
            kept.append(line)  # without what a log system has put around it
            self.lines += 1
        log.sessions += len(self.by_random) - before
        return log

    def grow(self) -> None:
        """Take in what was written to key logs since they were read: clients write while a live audit listens."""
        for path, (log, end) in list(self.followed.items()):
            try:
                if path.stat().st_size <= end:
                    continue
                with gate.opened(path) as file:
                    file.seek(end)
                    text = file.read(MOST_AT_ONCE)
            except (OSError, gate.RefusedError):
                continue
            whole = text[: text.rfind(b"\n") + 1]
            self.add(log.name, [whole], log)
            self.followed[path] = log, end + len(whole)

    def known(self, high: Array, low: Array) -> Array:
        """Whether the secrets of handshakes are there; a handshake's client random begins with ``high`` and ``low``."""
        if self._sorted is None or len(self._sorted) != len(self.by_random):
            lows = np.frombuffer(b"".join(random[8:16] for random in self.by_random), ">u8")
            self._sorted = np.sort(lows.astype(np.uint64))
        if not len(self._sorted):
            return np.zeros(len(high), bool)
        place = np.minimum(np.searchsorted(self._sorted, low), len(self._sorted) - 1)
        some = np.asarray(self._sorted[place] == low)
        for at in np.flatnonzero(some).tolist():
            some[at] = int(high[at]).to_bytes(8, "big") + int(low[at]).to_bytes(8, "big") in self._opens
        return some

    def lacking(self, randoms: Iterable[tuple[int, int]]) -> str | None:
        """Which secrets of some handshakes alone are given, or lack, so that they open nothing (RFC 8446 7.1); None for all.

        Where the handshake is not opened, tshark does not know where its keys end and those of the data begin.
        """
        opens = [self._opens[half] for half in _halves(randoms) if half in self._opens]
        bits = reduce(or_, opens, 0)
        if bits & CONTRADICTED:
            return "different secrets are given by the same name, of which none that was tried fits"
        if self.of_any or not opens or bits & ALL:
            return None
        if not bits & (CLIENT_DATA | SERVER_DATA):
            some = bits & (CLIENT_HANDSHAKE | SERVER_HANDSHAKE)
            return "only the secrets of its handshake are given" if some else "no secret of its records is given"
        if not bits & SERVER_DATA:
            return "only the client's traffic secret is given"
        if not bits & CLIENT_DATA:
            return "only the server's traffic secret is given"
        both = bits & CLIENT_HANDSHAKE and bits & SERVER_HANDSHAKE
        return None if both else "the secrets of its handshake are not given"

    def text(self, randoms: Iterable[tuple[int, int]], attempt: int = 0) -> bytes:
        """The lines of a key log for some handshakes, and those that may be of any; ``attempt``: how many failed before."""
        wanted = _halves(randoms)
        known = [_attempts(own) for random, own in self.by_random.items() if random[:16] in wanted]
        lines = [line for tries in known for line in tries[min(attempt, len(tries) - 1)]]
        return b"".join(line + b"\n" for line in [*lines, *self.of_any])

    def tries(self, randoms: Iterable[tuple[int, int]]) -> int:
        """In how many ways the secrets given for some handshakes may be put together: one, unless some contradict each other."""
        wanted = _halves(randoms)
        if not any(self._opens.get(half, 0) & CONTRADICTED for half in wanted):
            return 1
        return max(len(_attempts(own)) for random, own in self.by_random.items() if random[:16] in wanted)


def _attempts(lines: list[bytes]) -> list[tuple[bytes, ...]]:
    """Sets of a session's secrets, one of each name: the last ones written, those before them …, then one name's alone in turn."""
    by_label: dict[bytes, dict[bytes, bytes]] = {}
    for line in reversed(lines):
        by_label.setdefault(line.partition(b" ")[0], {}).setdefault(line.lower(), line)
    secrets = [list(own.values()) for own in by_label.values()]
    most = max(map(len, secrets))
    together = [tuple(own[min(number, len(own) - 1)] for own in secrets) for number in range(most)]
    alone = [
        tuple(other[number if other is own else 0] for other in secrets)
        for own in secrets
        for number in range(1, len(own))
    ]
    return list(dict.fromkeys([*together, *alone]))[:MOST_TRIED]


def _halves(randoms: Iterable[tuple[int, int]]) -> set[bytes]:
    """The first halves of client randoms, from the two words of each that are kept."""
    return {high.to_bytes(8, "big") + low.to_bytes(8, "big") for high, low in randoms}


def _opening(line: bytes) -> int:
    """What a secret opens."""
    return next((bit for label, bit in OPENS.items() if line.startswith(label)), 0)


def _contradicts(line: bytes, kept: list[bytes]) -> int:
    """The bit for a session of which a secret was given before, and differs: of two clients, or of a log put together wrongly."""
    label = line.partition(b" ")[0] + b" "
    before = [one for one in kept[:MOST_COMPARED] if one.startswith(label)]
    return CONTRADICTED if any(one.lower() != line.lower() for one in before) else 0


def _is_secret(text: bytes) -> bool:
    return _SESSION.search(text) is not None or _OTHER.search(text) is not None


def _canonical(match: re.Match[bytes]) -> bytes:
    """A secret of a session as Wireshark wants it: the label in capitals, single spaces."""
    return b" ".join((match[1].upper(), match[2], match[3]))


def _plain(parts: Iterable[bytes]) -> Iterable[bytes]:
    """A text as ASCII, without the byte order mark that editors on Windows put in front."""
    pieces = iter(parts)
    head = b""
    while len(head) < LONGEST_MARK and (piece := next(pieces, b"")):
        head += piece
    mark = next((mark for mark in MARKS if head.startswith(mark)), b"")
    encoding = MARKS.get(mark, "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "utf-8")
    yield from (_ascii(codecs.getincrementaldecoder(encoding)("replace"), head[len(mark) :], pieces))


def _ascii(decoder: codecs.IncrementalDecoder, head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in chain([head], pieces):
        text = decoder.decode(piece)
        # Spaces that word processors and web pages write are none in ASCII.
        yield (text if text.isascii() else re.sub(r"[^\S\r\n]", " ", text)).encode("ascii", "replace")


def _lines(parts: Iterable[bytes]) -> Iterable[bytes]:
    """The lines of a text; of one that is too long only the beginning, which is no secret then."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part.replace(b"\r", b"\n")).split(b"\n")
        yield from whole
        if len(rest) > LONGEST_LINE:
            rest = rest[:LONGEST_LINE]
    yield rest


def read(paths: Iterable[str | Path], *, may_come: bool = False, memory: int | None = None) -> Keys:
    """Read key logs and private keys (PEM), each recognised by its contents. Raises InputError naming the file.

    ``may_come``: a key log that is not there yet may be written later. ``memory``: bytes that secrets may take.
    """
    keys = Keys() if memory is None else Keys(most=memory // LINE)
    for path in map(Path, paths):
        if may_come and folders.is_missing(path):
            keys.followed[path] = keys.add(str(path), []), 0
            continue
        try:
            with gate.opened(path) as file:
                head = file.read(64) or b""  # None of what would have to be waited for
                if b"-----BEGIN" in head:
                    _check_private_key(path, head + file.read(1 << 20))
                    keys.private_keys.append(path.resolve())
                    continue
                file.seek(0)
                log = keys.add(str(path), _pieces(file, keys))
                end = file.tell()
                file.seek(max(0, end - LONGEST_LINE))
                tail = file.read(LONGEST_LINE)
                keys.followed[path] = log, end - (len(tail) - tail.rfind(b"\n") - 1)  # a line may be half written
        except OSError as error:
            raise InputError(f"{shown(path)}: {error.strerror}") from error
        except gate.RefusedError as error:
            raise InputError(f"{shown(path)}: {error}") from error
        if log.lines and log.wrong == log.lines:
            raise InputError(
                f"{shown(path)}: holds no secrets of TLS sessions; a key log (SSLKEYLOGFILE) has lines such as {EXAMPLE}"
            )
        if log.left_out:
            raise InputError(
                f"{shown(path)}: its secrets take more than {keys.most * LINE >> 20} MiB of memory; give --memory a larger "
                "size, or a smaller file"
            )
    return keys


def _pieces(file: BinaryIO, keys: Keys) -> Iterator[bytes]:
    """A key log in pieces, to its end, or as far as it takes to see that it is none: it may be a hole of terabytes."""
    before = keys.lines
    while (piece := file.read(BLOCK)) and (keys.lines > before or keys.lines >= keys.most or file.tell() <= NONE_AFTER):
        yield piece


def _check_private_key(path: Path, data: bytes) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = "is encrypted: decrypt it first" if isinstance(error, TypeError) else "is no private key"
        raise InputError(f"{shown(path)}: a PEM file that {what}") from None
    if not isinstance(key, RSAPrivateKey):
        raise InputError(f"{shown(path)}: not an RSA key: other keys of servers open no TLS session; give a key log")
