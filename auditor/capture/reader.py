"""A capture as a row of blocks in one buffer, whatever its format, compression or source."""

from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np

from auditor.capture.buffers import page_aligned
from auditor.capture.compression import MOST_PACKINGS, Rewound, compression_of, damage, open_compressed
from auditor.capture.inputs import Input
from auditor.capture.interfaces import Interfaces
from auditor.capture.pcap import (
    HEADER_BYTES,
    LARGEST_PACKET,
    MAGICS,
    SNOOP_HEADER_BYTES,
    SNOOP_MAGIC,
    PcapHeader,
    snoop_link,
)
from auditor.capture.pcapng import LARGEST_BLOCK, MAGIC, MOST_INTERFACES, PcapngState
from auditor.capture.sniff import looks_like
from auditor.decode.layers import LINK_NAMES, LINK_TYPES, layer_of_link_type
from auditor.errors import InputError

BLOCK_BYTES = 4 << 20
SMALLEST_BLOCK = 64 << 10
PCAP, PCAPNG, SNOOP = 0, 1, 2
HEAD = 512
MOST_WARNINGS = 32  # on link types, of which there may be thousands


def new_buffer(size: int) -> Any:
    """An array of ``size`` bytes to read into."""
    return np.frombuffer(page_aligned(size), np.uint8)


@dataclass
class Notes:
    """What reading a capture showed besides its packets."""

    format: str = "pcap"
    compression: str | None = None
    link_types: list[int] = field(default_factory=list)
    status: str = "complete"
    damage_offset: int | None = None
    warnings: list[str] = field(default_factory=list)

    def damaged(self, what: str, offset: int | None = None) -> None:
        """Note damage, if it is the first; ``offset``: where, as far as that is known."""
        if self.status == "complete":
            self.status = "damaged"
            self.damage_offset = offset
            where = "" if offset is None else f" at byte {offset}"
            self.warnings.append(f"{what}{where}: everything before it is reported")

    def link_names(self) -> str | None:
        return " ".join(dict.fromkeys(LINK_NAMES.get(t, str(t)).replace(" ", "-") for t in self.link_types)) or None


class Reader:
    """Reads a capture into ``buffer``; ``position`` to ``stop`` are bytes not looked at yet.

    ``layout`` and ``interfaces`` are what ``scan.read_batch`` wants. ``prompt`` readers (live captures) give what is
    there instead of waiting for a full buffer. ``numbering``: the interfaces of all captures that are read with it.
    """

    def __init__(
        self, source: Input, buffer: Any = None, prompt: bool = False, numbering: Interfaces | None = None
    ) -> None:
        self.notes = Notes()
        self.name = source.name
        self._prompt = prompt
        self._left = source.size
        self._spool = source.spool
        self._raw = source.open()
        self._stream: Any = self._raw
        self._damage = damage()
        self.buffer = new_buffer(BLOCK_BYTES) if buffer is None else buffer
        self.position = self.stop = 0
        self.offset = 0  # of buffer[0] in the unpacked capture
        self.pcapng = PcapngState(numbering or Interfaces())
        self.header: PcapHeader | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _raw_read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the input itself, fewer only at its end."""
        parts, left = [], size
        while left and (data := self._stream.read(left)):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def _open(self) -> None:
        """Find compression and format by the first bytes. Raises InputError for what is no capture."""
        head = self._raw_read(HEAD)
        for _ in range(MOST_PACKINGS):
            packing = compression_of(head)
            if packing is None:
                break
            outer = self.notes.compression
            self.notes.compression = f"{outer}+{packing}" if outer else packing
            self._left = None
            self._stream = open_compressed(cast("BinaryIO", Rewound(head, self._stream)), packing)
            try:
                head = self._raw_read(HEAD)
            except self._damage as error:
                raise InputError(f"{self.name}: damaged {packing} data ({error})") from error
        if self._left is not None:
            self._left = max(0, self._left - len(head))
        self.buffer[: len(head)] = np.frombuffer(head, np.uint8)
        self.stop = len(head)
        if head[:4] in MAGICS:
            if len(head) < HEADER_BYTES:
                raise InputError(f"{self.name}: a pcap that ends inside its file header (byte {len(head)})")
            self.header = PcapHeader.parse(head)
            self.notes.link_types = [self.header.link_type]
            self.position = HEADER_BYTES
            self._note_link_type(self.header.link_type)
        elif head[:8] == SNOOP_MAGIC:
            self.notes.format = "snoop"
            link = snoop_link(head)
            if len(head) < SNOOP_HEADER_BYTES or link is None:
                raise InputError(f"{self.name}: a snoop capture of a link layer that is not decoded")
            self.header = PcapHeader(True, 1000, link, 0)
            self.notes.link_types = [link]
            self.position = SNOOP_HEADER_BYTES
        elif head[:4] == MAGIC:
            self.notes.format = "pcapng"
            length = self.pcapng.block_length(head[:12].ljust(12, b"\0")) if len(head) >= 12 else None
            if length is None:
                raise InputError(f"{self.name}: begins like a pcapng, but its section header is not valid")
        else:
            inside = f" inside {self.notes.compression}" if self.notes.compression else ""
            raise InputError(f"{self.name}: not a pcap or pcapng capture; it looks like {looks_like(head)}{inside}")

    def _note_link_type(self, link_type: int) -> None:
        if link_type & 0xFFFF not in LINK_TYPES:
            name = LINK_NAMES.get(link_type)
            words = f"link type {link_type}{f' ({name})' if name else ''} is not decoded: its packets are only counted"
            if words not in self.notes.warnings and len(self.notes.warnings) < MOST_WARNINGS:
                self.notes.warnings.append(words)

    @property
    def layout(self) -> Any:
        if self.header is None:
            return np.array([PCAPNG, self.pcapng.big_endian, 0, 0, 0, 0, 0], np.int64)
        h = self.header
        largest = max(LARGEST_PACKET, min(h.snap_length, LARGEST_BLOCK))
        kind = SNOOP if self.notes.format == "snoop" else PCAP
        number = self.pcapng.numbering.number(h.link_type)
        return np.array(
            [kind, h.big_endian, h.tick, layer_of_link_type(h.link_type), largest, h.record_bytes, number], np.int64
        )

    @property
    def interfaces(self) -> Any:
        return self.pcapng.section

    def fill(self, buffer: Any = None) -> bool:
        """Move what is left to the front of ``buffer`` (or of the one in use), and read on. False at the input's end.

        Where one record is larger than the buffer, a larger one is taken.
        """
        target = self.buffer if buffer is None else buffer
        rest = self.stop - self.position
        if rest >= len(target):
            target = new_buffer(2 * max(rest, len(target)))
        self._raw.release(target)
        left = self.buffer[self.position : self.stop]
        target[:rest] = left.copy() if target is self.buffer else left
        self.buffer = target
        self.offset += self.position
        self.position, self.stop = 0, rest
        view = self.buffer.data
        while self.stop < len(self.buffer):
            end = len(self.buffer)
            if self._left is not None:
                end = min(end, self.stop + self._left)
            try:
                got = self._stream.readinto(view[self.stop : end]) if end > self.stop else 0
            except self._damage as error:
                self.damaged(f"damaged {self.notes.compression} data ({error})", self.offset + self.stop)
                got = 0
            if not got:
                break
            self.stop += got
            if self._left is not None:
                self._left -= got
            if self._prompt:
                break
        return self.stop > rest

    @property
    def is_at_end(self) -> bool:
        """Whether all of a file is in the buffer; where that shows only when it is read on, False."""
        return self._left == 0

    def special(self) -> bool:
        """Take in the pcapng block at ``position``, which is no packet. False: bytes are missing, or it is damaged."""
        head = self.buffer[self.position : min(self.position + 12, self.stop)].tobytes()
        length = self.pcapng.block_length(head) if len(head) == 12 else None
        if length is None:
            if len(head) == 12:
                self.damaged("no pcapng block can begin there", self.offset + self.position)
                self.position = self.stop
            return False
        if self.position + length > self.stop:
            return False
        block = self.buffer[self.position : self.position + length].tobytes()
        before = len(self.pcapng.interfaces)
        self.pcapng.read_block(block)
        if self.pcapng.secrets and self._spool is not None:
            self._spool.keep()  # what the secrets open is read in a second pass
        for info in self.pcapng.interfaces[before:]:
            self.notes.link_types.append(info.link_type)
            self._note_link_type(info.link_type)
        self.position += length
        if len(self.pcapng.interfaces) > MOST_INTERFACES:
            self.damaged(f"more than {MOST_INTERFACES:,} interfaces", self.offset + self.position)
            self.position = self.stop
            return False
        return True

    def damaged(self, what: str, offset: int) -> None:
        """Note damage; reading ends there, all before it is reported."""
        self.notes.damaged(what, offset)

    def ended(self) -> None:
        """At the end of the input: what is left over is a record that was cut short."""
        if self.stop > self.position and self.notes.status == "complete":
            offset = self.offset + self.position
            self.notes.status = "truncated"
            self.notes.damage_offset = offset
            self.notes.warnings.append(f"cut short: the last record begins at byte {offset} and is not whole")

    def release(self, buffer: Any) -> None:
        """Wait until nothing of ``buffer`` is needed for the digest any more."""
        self._raw.release(buffer)

    def close(self) -> None:
        self._stream.close()
        self._raw.close()
