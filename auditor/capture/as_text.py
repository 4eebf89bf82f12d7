"""Captures that were transferred as text (FTP's TYPE A, RFC 959 3.1.1.1), which rewrites their ends of lines.

A record is longer or shorter then than its header says, by as many bytes as carriage returns were put in or taken out.
"""

import re
from typing import Literal

from auditor.capture.pcap import LARGEST_PACKET, RECORD_BYTES, PcapHeader

A_DAY = 24 * 60 * 60  # seconds
FURTHER = 2  # records that are read behind the damage once carriage returns are taken out again
MOST_LACKING = 64  # carriage returns of one record
ADVICE = "it looks as if a transfer as text {did} carriage returns: transfer the file again as binary"
# The first block of a pcapng is there to show it: its type is 0A 0D 0D 0A.
PCAPNG_AS_TEXT = re.compile(
    rb"(?:\r\n\r\r\r\n|\n\r?\n|\n{4}|\r{4}).{3,6}(?:\x4d\x3c\x2b\x1a|\x1a\x2b\x3c\x4d)", re.DOTALL
)


def what_was_done(header: PcapHeader, data: bytes) -> str | None:
    """What a transfer as text did to records that begin with ``data`` and are damaged; None for nothing."""
    if _how_far(header, data.replace(b"\r\n", b"\n")) >= _how_far(header, data) + FURTHER:
        return ADVICE.format(did="put in")
    if _begins_earlier(header, data):
        return ADVICE.format(did="took out")
    return None


def _how_far(header: PcapHeader, data: bytes) -> int:
    """How many records can be read; the very end says as much as ``FURTHER`` of them."""
    found = _records(header, data)
    is_whole = bool(found) and _end(header, data, found[-1]) == len(data)
    return len(found) + (FURTHER if is_whole else 0)


def _records(header: PcapHeader, data: bytes) -> list[int]:
    """Where records begin, up to what cannot be one."""
    found: list[int] = []
    at = 0
    while at + RECORD_BYTES <= len(data) and _is_record(header, data, at, found[-1] if found else at):
        found.append(at)
        at = _end(header, data, at)
    return found


def _is_record(header: PcapHeader, data: bytes, at: int, before: int) -> bool:
    """Whether a record's header may stand there, where another one is at ``before``."""
    apart = abs(_word(header, data, at) - _word(header, data, before))
    captured, original = _word(header, data, at + 8), _word(header, data, at + 12)
    fits = 0 < captured <= original <= LARGEST_PACKET
    return fits and apart <= A_DAY and _word(header, data, at + 4) <= header.most_fraction


def _begins_earlier(header: PcapHeader, data: bytes) -> bool:
    """Whether behind the last good record another one begins so many bytes earlier as it may have lost."""
    good = _records(header, data)
    if not good:
        return False
    last, end = good[-1], _end(header, data, good[-1])
    if b"\r\n" in data[: min(end, len(data))]:
        return False
    for at in range(end - 1, max(end - MOST_LACKING, last + header.record_bytes) - 1, -1):
        if (
            at + RECORD_BYTES <= len(data)
            and data.count(b"\n", last, at) >= end - at
            and _is_record(header, data, at, last)
        ):
            return True
    return False


def _end(header: PcapHeader, data: bytes, at: int) -> int:
    return at + header.record_bytes + _word(header, data, at + 8)


def _word(header: PcapHeader, data: bytes, at: int) -> int:
    order: Literal["big", "little"] = "big" if header.big_endian else "little"
    return int.from_bytes(data[at : at + 4], order)
