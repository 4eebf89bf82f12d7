"""A capture as a row of blocks in one buffer, whatever its format, compression or source."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO, cast

import numpy as np

from auditor.border.words import agreed, counted
from auditor.capture.as_text import what_was_done
from auditor.capture.beginnings import BLOCK_HEAD, KINDS, PCAP, PCAPNG, FileHeader, beginning_of
from auditor.capture.buffers import page_aligned
from auditor.capture.compression import MOST_PACKINGS, Rewound, compression_of, damage, open_compressed
from auditor.capture.erf import is_erf
from auditor.capture.inputs import Input
from auditor.capture.interfaces import Interfaces
from auditor.capture.notes import Notes
from auditor.capture.pcap import HEADER_BYTES, LARGEST_PACKET, RECORD_BYTES, PcapHeader
from auditor.capture.pcapng import LARGEST_BLOCK, MOST_INTERFACES, PcapngState
from auditor.capture.record_forms import LARGEST_TRIED, settled, with_larger_fractions
from auditor.capture.sniff import looks_like
from auditor.decode.layers import ERF_LAYER, LINK_TYPES, NAMING_LAYERS, STOP, USB_LAYERS, layer_of_link_type
from auditor.decode.link_names import with_number
from auditor.errors import InputError

BLOCK_BYTES = 4 << 20
ERF_LINK = next(number for number, layer in LINK_TYPES.items() if layer == ERF_LAYER)
SMALLEST_BLOCK = 64 << 10
HEAD = 512
PIECE = 1 << 20
MOST_REPORTED = 4  # joined files whose places are reported one by one
HOW_FAR = {  # packets of some link types are read
    STOP: "is not decoded: its packets are only counted",
    **dict.fromkeys(USB_LAYERS, "is read only as far as it carries Ethernet"),
}
MOST_WARNINGS = 32  # on link types, of which there may be thousands


def new_buffer(size: int) -> Any:
    """An array of ``size`` bytes to read into."""
    return np.frombuffer(page_aligned(size), np.uint8)


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
        self.kind = PCAP
        self.header: PcapHeader | None = None  # of all but a pcapng
        self.joined = 0  # further files that were joined to the first one
        self.names_interfaces = False  # whether packets have headers that do
        self.finer_from: int | None = None  # the packets listed from there on have nanoseconds for microseconds
        self._untouched = False  # no record of the file was looked at
        self._undescribed_at = 0  # the first packet of an interface that was not described
        self._first = 0  # where in the buffer the first record of a file, or of what was read last, begins
        self.named: dict[str, int] = {}  # link types of the interfaces that packets named
        self._noted: set[int] = set()  # link types
        try:
            self._open()
            self._packing = self.notes.compression
        except BaseException:
            self.close()
            raise

    def _raw_read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the input itself, fewer only at its end, or before damage in what is packed."""
        parts: list[bytes] = []
        left = size
        try:
            while left and (data := self._stream.read(left)):
                parts.append(data)
                left -= len(data)
        except self._damage:
            if not parts or self.notes.compression is None:
                raise
        return b"".join(parts)

    def _open(self) -> None:
        """Find compression and format by the first bytes. Raises InputError for what is no capture."""
        head = self._raw_read(HEAD)
        for _ in range(MOST_PACKINGS):
            packing = compression_of(head)
            if packing is None:
                break
            self._unpack(packing, head)
            try:
                head = self._raw_read(HEAD)
            except self._damage as error:
                raise InputError(f"{self.name}: damaged {packing} data ({error})") from error
        if self._left is not None:
            self._left = max(0, self._left - len(head))
        self.buffer[: len(head)] = np.frombuffer(head, np.uint8)
        self.stop = len(head)
        beginning = beginning_of(head)
        if beginning is None and is_erf(head):
            beginning = FileHeader("erf", PcapHeader(True, 1, ERF_LINK, 0), 0)
        if beginning is None:
            what = "it looks like" if head else "it is"
            inside = f" inside {self.notes.compression}" if self.notes.compression else ""
            raise InputError(f"{self.name}: not a pcap or pcapng capture; {what} {looks_like(head)}{inside}")
        if beginning.lack is not None:
            raise InputError(f"{self.name}: {beginning.lack}")
        self.notes.format = beginning.format
        self._begin(beginning)

    def _unpack(self, packing: str, head: bytes) -> None:
        """What comes next, from ``head`` on, is packed."""
        outer = self.notes.compression
        self.notes.compression = f"{outer}+{packing}" if outer else packing
        self._left = None
        self._stream = open_compressed(cast("BinaryIO", Rewound(head, self._stream)), packing)

    def _begin(self, beginning: FileHeader) -> None:
        """A file's header is at ``position``: what follows is read as it says."""
        self.kind, self.header = KINDS[beginning.format], beginning.header
        self.position += beginning.size
        self._first, self._untouched = self.position, True
        self._settle()
        if self.header is None:
            return
        link_type = self.header.link_type
        if link_type not in self.notes.link_types:
            self._note_interface(link_type)

    def _settle(self) -> None:
        """See by the first records how they are written, if none of them was read before."""
        if self._untouched and self.kind == PCAP and self.header is not None:
            records = self.buffer[self.position : min(self.stop, self.position + LARGEST_TRIED)].tobytes()
            self.header, warning = settled(self.header, records)
            if warning is not None:
                self.notes.warnings.append(warning)

    def _join(self, beginning: FileHeader) -> bool:
        """Another file begins where a record should: go on with that. False: its header is not whole, or it cannot be read."""
        at = self.offset + self.position
        if beginning.lack is not None:
            if self.stop - self.position >= HEADER_BYTES:
                self.damaged(f"another file begins, {beginning.lack}", at)
            return False
        self.joined += 1
        if self.joined <= MOST_REPORTED:
            self.notes.warnings.append(f"files were joined: another {beginning.format} begins at byte {at}")
        self._begin(beginning)
        return True

    def _note_interface(self, link_type: int) -> None:
        self.notes.link_types.append(link_type)
        if link_type & 0xFFFF in self._noted:
            return
        self._noted.add(link_type & 0xFFFF)
        layer = layer_of_link_type(link_type)
        self.names_interfaces |= layer in NAMING_LAYERS
        if layer in HOW_FAR and len(self.notes.warnings) < MOST_WARNINGS:
            self.notes.warnings.append(f"{with_number(link_type)} {HOW_FAR[layer]}")

    @property
    def layout(self) -> Any:
        if self.header is None:
            return np.array([PCAPNG, self.pcapng.big_endian, *[0] * 6], np.int64)
        h = self.header
        largest = max(LARGEST_PACKET, min(h.snap_length, LARGEST_BLOCK))
        layer, interface = layer_of_link_type(h.link_type), self.pcapng.numbering.number(h.link_type)
        return np.array(
            [self.kind, h.big_endian, h.tick, layer, largest, h.record_bytes, interface, h.most_fraction], np.int64
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
        self._untouched = self._untouched and self.position == self._first
        if rest >= len(target):
            target = new_buffer(2 * max(rest, len(target)))
        self._raw.release(target)
        left = self.buffer[self.position : self.stop]
        target[:rest] = left.copy() if target is self.buffer else left
        self.buffer = target
        self.offset += self.position
        self.position, self.stop = 0, rest
        self._first = 0
        view = self.buffer.data
        while self.stop < len(self.buffer):
            end = len(self.buffer)
            if self._left is not None:
                end = min(end, self.stop + self._left)
            try:
                got = self._stream.readinto(view[self.stop : end]) if end > self.stop else 0
            except self._damage as error:
                packing, reason = self.notes.compression, getattr(error, "strerror", None) or error
                words = f"damaged {packing} data ({reason})" if packing else f"cannot be read any further: {reason}"
                self.damaged(words, self.offset + self.stop)
                self.notes.failure = None if packing else words
                got = 0
            if not got:
                break
            self.stop += got
            if self._left is not None:
                self._left -= got
            if self._prompt:
                break
        self._settle()
        return self.stop > rest

    def standing(self) -> dict[str, Any] | None:
        """What reading on from ``position`` needs, as JSON has it; None where nobody else can.

        There is damage then, or it is packed otherwise than at its beginning. Of secrets it is said how many there are.
        """
        if self.notes.compression != self._packing or self.notes.status != "complete" or self.pcapng.undescribed:
            return None
        return {
            "at": self.offset + self.position,
            "kind": self.kind,
            "header": None if self.header is None else self.header._asdict(),
            "joined": self.joined,
            "names_interfaces": self.names_interfaces,
            "named": dict(self.named),
            "noted": sorted(self._noted),
            "notes": asdict(self.notes),
            "described": self.pcapng.standing(),
        }

    def go_on(self, standing: Mapping[str, Any]) -> None:
        """Read on where another reader of the same bytes stood. Raises InputError and OSError."""
        self.notes, header = Notes(**standing["notes"]), standing["header"]
        self.kind, self.header = int(standing["kind"]), None if header is None else PcapHeader(**header)
        self.joined, self.names_interfaces = int(standing["joined"]), bool(standing["names_interfaces"])
        self.named, self._noted = dict(standing["named"]), set(standing["noted"])
        self.pcapng.go_on(standing["described"])
        at = int(standing["at"])
        if at <= self.stop:  # of what it is recognised by
            self.position = at
            return
        if self.notes.compression is not None or not self._raw.go_to(at):
            self._pass_over(at - self.stop)
        if self._left is not None:
            self._left = max(0, self._left - (at - self.stop))
        self.offset, self.position, self.stop = at, 0, 0

    def _pass_over(self, size: int) -> None:
        """Read bytes that were looked at before: they are hashed here, or packed."""
        try:
            while size > 0 and (piece := self._stream.read(min(size, PIECE))):
                size -= len(piece)
        except self._damage as error:
            raise InputError(f"{self.name}: damaged {self.notes.compression} data ({error})") from error

    @property
    def is_at_end(self) -> bool:
        """Whether all of a file is in the buffer; where that shows only when it is read on, False."""
        return self._left == 0

    def special(self, damaged: bool = False) -> bool:
        """Take in what is at ``position`` and is no packet. False: bytes are missing, or it is damage.

        ``damaged``: nothing of the file that is being read can begin there; perhaps another one does.
        """
        head = self.buffer[self.position : min(self.position + HEADER_BYTES, self.stop)].tobytes()
        beginning = beginning_of(head)
        if beginning is not None and not (beginning.format == "pcapng" and self.kind == PCAPNG):
            return self._join(beginning)
        if (
            self.kind == PCAPNG
            and not damaged
            and (len(head) < BLOCK_HEAD or self.pcapng.block_length(head) is not None)
        ):
            return len(head) >= BLOCK_HEAD and self._block(head)
        as_text = self._as_text()
        if self.kind == PCAP and not damaged and not as_text and self._is_fine():
            return True
        packing = compression_of(head)
        if packing is not None:
            self._unpack(packing, self.buffer[self.position : self.stop].tobytes())
            self.stop = self.position
            return False
        what = "no pcapng block can begin there" if self.kind == PCAPNG else "no packet record can begin there"
        if len(head) >= RECORD_BYTES and not any(head):
            what = "the file was not written to its end: zeros follow"
        self.damaged(what, self.offset + self.position)
        self.notes.warnings += as_text
        return False

    def _as_text(self) -> list[str]:
        """What a transfer as text did to the records before ``position``, where there is damage."""
        if self.kind != PCAP or self.header is None:
            return []
        words = what_was_done(self.header, self._read_last())
        return [] if words is None else [words]

    def _is_fine(self) -> bool:
        """Whether a fraction of a second is too large; from now on it is not."""
        assert self.header is not None
        found = with_larger_fractions(self.header, self._read_last())
        if found is None:
            return False
        before, at = self.header, self.offset + self._first
        self.header, words = found
        if self.header.tick != before.tick:
            self.finer_from = self._first
        self.notes.warnings.append(words + (f", from byte {at} on" if at > HEADER_BYTES else ""))
        return True

    def _read_last(self) -> bytes:
        """The records of a file, or what was read last of them."""
        return bytes(self.buffer[self._first : self.stop])

    def _block(self, head: bytes) -> bool:
        """Take in a pcapng block that is no packet."""
        length = self.pcapng.block_length(head) or 0
        block = self.buffer[self.position : min(self.position + length, self.stop)].tobytes()
        length = self.pcapng.block_length(block) or 0
        if self.position + length > self.stop:
            return False
        before = len(self.pcapng.interfaces)
        if not self.pcapng.undescribed:
            self._undescribed_at = self.offset + self.position
        self.pcapng.read_block(block[:length])
        if self.pcapng.secrets and self._spool is not None:
            self._spool.keep()  # what the secrets open is read in a second pass
        for info in self.pcapng.interfaces[before:]:
            self._note_interface(info.link_type)
        self.position += length
        if len(self.pcapng.interfaces) > MOST_INTERFACES:
            self.damaged(f"more than {MOST_INTERFACES:,} interfaces", self.offset + self.position)
            self.position = self.stop
            return False
        return True

    def named_interface(self, of: int, name: str) -> int:
        """The number of an interface that a packet's own header names, in a capture of the interface ``of``."""
        link_type = self.pcapng.numbering.link_types[of]
        if name not in self.named:
            self.named[name] = link_type
        return self.pcapng.numbering.number(link_type, name)

    def damaged(self, what: str, offset: int) -> None:
        """Note damage; reading ends there, all before it is reported."""
        self.notes.damaged(what, offset)

    def ended(self) -> None:
        """At the end of the input: what is left over is a record that was cut short; and what was passed over is told."""
        if (count := self.pcapng.undescribed) and self.notes.status == "complete":
            self.notes.status, self.notes.damage_offset = "damaged", self._undescribed_at
            words = f"{counted(count, 'packet')} {agreed(count, 'is', 'are')}"
            self.notes.warnings.append(f"{words} of an interface that no block before describes: not read")
        if self.stop > self.position and self.notes.status == "complete":
            offset = self.offset + self.position
            self.notes.status = "truncated"
            self.notes.damage_offset = offset
            self.notes.warnings.append(f"cut short: the last record begins at byte {offset} and is not whole")
            self.notes.warnings += self._as_text()

    def release(self, buffer: Any) -> None:
        """Wait until nothing of ``buffer`` is needed for the digest any more."""
        self._raw.release(buffer)

    def close(self) -> None:
        self._stream.close()
        self._raw.close()
