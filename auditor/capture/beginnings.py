"""What a file of packets begins with, at the beginning of an input or behind another file that was joined to it."""

from typing import NamedTuple

from auditor.capture.erf import is_erf
from auditor.capture.pcap import (
    HEADER_BYTES,
    MAGICS,
    SNOOP_HEADER_BYTES,
    SNOOP_MAGIC,
    PcapHeader,
    snoop_link,
)
from auditor.capture.pcapng import BYTE_ORDER, MAGIC

BLOCK_HEAD = 12  # bytes of a pcapng block by which its length is known
PCAP, PCAPNG, SNOOP, DATAGRAMS, ERF, LISTED = range(6)
KINDS = {"pcap": PCAP, "pcapng": PCAPNG, "snoop": SNOOP, "erf": ERF}


class FileHeader(NamedTuple):
    """A file's header: its format, what it says of the records behind, its bytes; in ``lack`` why it cannot be used."""

    format: str
    header: PcapHeader | None
    size: int
    lack: str | None = None


def beginning_of(head: bytes) -> FileHeader | None:
    """The header of a file that begins with these bytes; None for what is no capture, or has no magic number."""
    if head[:4] in MAGICS:
        if len(head) < HEADER_BYTES:
            return FileHeader("pcap", None, 0, f"a pcap that ends inside its file header (byte {len(head)})")
        return FileHeader("pcap", PcapHeader.parse(head), HEADER_BYTES)
    if head[:8] == SNOOP_MAGIC:
        link = snoop_link(head)
        if len(head) < SNOOP_HEADER_BYTES or link is None:
            return FileHeader("snoop", None, 0, "a snoop capture of a link layer that is not decoded")
        return FileHeader("snoop", PcapHeader(True, 1000, link, 0), SNOOP_HEADER_BYTES)
    if head[:4] == MAGIC:
        if head[8:12] not in BYTE_ORDER:
            return FileHeader("pcapng", None, 0, "begins like a pcapng, but its section header is not valid")
        return FileHeader("pcapng", None, 0)
    return None


def is_capture(head: bytes) -> bool:
    """Whether a file that begins with these bytes is one of packets."""
    return beginning_of(head) is not None or is_erf(head)
