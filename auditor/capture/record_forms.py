"""What the records of a pcap show of their form, where the magic number does not say it, or says it wrongly.

Patched versions of libpcap wrote more into each record than the format has, and some of them without another magic
number. So the first records are tried: with the wrong length all but the first begin in the middle of a packet.
"""

from typing import Literal, NamedTuple

from auditor.capture.pcap import (
    ANY_FRACTION,
    LARGEST_PACKET,
    MODIFIED_RECORD_BYTES,
    MOST_MICROSECONDS,
    MOST_NANOSECONDS,
    RECORD_BYTES,
    PcapHeader,
    fractions,
)


class Variant(NamedTuple):
    """A form of records: the bytes of their headers, and who writes them."""

    record_bytes: int
    writer: str


NOKIA = Variant(20, "a Nokia firewall")
KUZNETSOV = Variant(MODIFIED_RECORD_BYTES, "Alexey Kuznetsov's libpcap")
KUZNETSOV_WITH_PROCESSOR = Variant(28, "an early one of Alexey Kuznetsov's libpcaps")
VARIANTS = {RECORD_BYTES: (KUZNETSOV, NOKIA), MODIFIED_RECORD_BYTES: (KUZNETSOV_WITH_PROCESSOR,)}
TRIED = 8  # records
LARGEST_TRIED = 1 << 18  # bytes that they are looked for in
ENOUGH = 2  # of them: with another length the second one begins elsewhere
A_DAY = 24 * 60 * 60  # seconds that packets next to each other may be apart
LARGEST_ORIGINAL = 64 << 20


def settled(header: PcapHeader, data: bytes) -> tuple[PcapHeader, str | None]:
    """The header of a file whose records begin with ``data``, with the length that they have, and a warning if that is another one."""
    usual = header.record_bytes
    if _fitting(header, usual, data) is not None or _fitting(header, usual, data.replace(b"\r\n", b"\n")) is not None:
        return header, None  # the latter were transferred as text (see ``as_text``)
    for size, writer in VARIANTS.get(usual, ()):
        if (_fitting(header, size, data) or 0) >= ENOUGH:
            words = f"records have headers of {size} bytes, as {writer} writes them, though the magic number promises"
            return header._replace(record_bytes=size), f"{words} {usual}: read so"
    return header, None


def _fitting(header: PcapHeader, size: int, data: bytes) -> int | None:
    """How many of the first records are whole, if their headers have ``size`` bytes; None if one of them cannot be a record."""
    order: Literal["big", "little"] = "big" if header.big_endian else "little"
    at, before = 0, None
    for count in range(TRIED):
        if at + RECORD_BYTES > len(data):
            return count if at > len(data) else _at_end(data[at : at + 4], order, count, before)
        second, fraction, captured, original = (
            int.from_bytes(data[at + k : at + k + 4], order) for k in range(0, RECORD_BYTES, 4)
        )
        if (
            captured > max(LARGEST_PACKET, header.snap_length)
            or original > LARGEST_ORIGINAL
            or fraction > MOST_NANOSECONDS
        ):
            return None
        if before is not None and abs(second - before) > A_DAY:
            return None
        at, before = at + size + captured, second
    return TRIED


def _at_end(rest: bytes, order: Literal["big", "little"], count: int, before: int | None) -> int | None:
    """Likewise where no whole header follows: the very end says as much as another record, and four bytes are its time."""
    if not rest:
        return max(count, ENOUGH)
    is_time = len(rest) < 4 or before is None or abs(int.from_bytes(rest, order) - before) <= A_DAY
    return count if is_time else None


def with_larger_fractions(header: PcapHeader, data: bytes) -> tuple[PcapHeader, str] | None:
    """The header of records with fractions of a second too large for its magic number, and a warning; None if none is.

    Those too large for microseconds are most likely nanoseconds, all of them.
    """
    most = header.most_fraction
    if most == ANY_FRACTION:
        return None
    highest = max(fractions(data, header))
    if highest <= most:
        return None
    promised = "microseconds" if most == MOST_MICROSECONDS else "nanoseconds"
    words = f"fractions of a second are above {most}, though the magic number promises {promised}: taken as "
    if most == MOST_MICROSECONDS and highest > 2 * most:
        return header._replace(tick=1, most_fraction=ANY_FRACTION), words + "nanoseconds"
    return header._replace(most_fraction=ANY_FRACTION), words + "more than a second"
