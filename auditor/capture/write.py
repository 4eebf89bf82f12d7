"""Writing captures: the records of a pcap with nanoseconds, the blocks of a pcapng."""

from struct import pack

NANOSECONDS = 0xA1B23C4D  # magic number of a pcap
SNAP_LENGTH = 1 << 18
SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6  # block types
COMMENT, NAME, RESOLUTION, APPLICATION = 1, 2, 9, 4  # options
LATEST = 0xFFFFFFFF  # second that a record can hold


def pcap_header(link_type: int) -> bytes:
    """What a pcap begins with."""
    return pack("<IHHiIII", NANOSECONDS, 2, 4, 0, 0, SNAP_LENGTH, link_type)


def pcap_record(time: int, captured: int, wire_length: int) -> bytes:
    """What stands before a packet; ``time`` in nanoseconds since 1970."""
    seconds, rest = divmod(max(0, time), 1_000_000_000)
    return pack("<IIII", min(seconds, LATEST), rest, captured, wire_length)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def option(code: int, value: bytes) -> bytes:
    """An option of a block."""
    return pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes, options: bytes) -> bytes:
    body += options + option(0, b"")
    length = len(body) + 12
    return pack("<II", kind, length) + body + pack("<I", length)


def section(options: bytes) -> bytes:
    """A section header block."""
    return _block(SECTION, pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), options)


def interface(link_type: int, name: str | None) -> bytes:
    """An interface description block; its packets have nanoseconds."""
    options = option(NAME, name.encode()) if name else b""
    return _block(INTERFACE, pack("<HHI", link_type, 0, 0), options + option(RESOLUTION, b"\x09"))


def packet(which: int, time: int, data: bytes, wire_length: int, options: bytes) -> bytes:
    """An enhanced packet block of the interface number ``which``; ``time`` in nanoseconds since 1970."""
    head = pack("<IIIII", which, time >> 32 & LATEST, time & LATEST, len(data), wire_length)
    return _block(PACKET, head + _padded(data), options)
