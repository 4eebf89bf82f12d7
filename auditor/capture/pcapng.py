"""The pcapng file format (draft-ietf-opsawg-pcapng): the kernel for packet blocks, and a parser for all others."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.border.text import printable
from auditor.capture.interfaces import Interfaces
from auditor.capture.pcap import DAMAGED, FULL, LARGEST_PACKET, MORE, SPECIAL, list_packet
from auditor.decode.bytes import Bytes, u16, u32
from auditor.decode.layers import layer_of_link_type
from auditor.decode.packet import PacketRows
from auditor.machine.kernel import inlined

TLS_KEY_LOG = 0x544C534B  # Secrets Type of a Decryption Secrets Block
MOST_SECRETS = 256 << 20  # bytes of secrets that are kept of a capture
SHB, IDB, PB, SPB, ISB, EPB, DSB = 0x0A0D0D0A, 1, 2, 3, 5, 6, 0x0A
LARGEST_BLOCK = 16 * 1024 * 1024
MOST_INTERFACES = 1 << 17  # of all sections of a capture
LONGEST_TEXT = 255  # bytes of a name or a description that are kept
MAGIC = b"\x0a\x0d\x0d\x0a"
BYTE_ORDER = {b"\x4d\x3c\x2b\x1a": "little", b"\x1a\x2b\x3c\x4d": "big"}

INTERFACE = np.dtype(
    [
        ("link", "i4"),
        ("snap_length", "i8"),
        ("offset", "i8"),  # nanoseconds added to each time stamp (if_tsoffset)
        ("power_of_two", "u1"),
        ("exponent", "u1"),
        ("number", "i4"),  # among the interfaces of all captures that are read as one
    ]
)
InterfaceRows: TypeAlias = NDArray[Any]  # records of INTERFACE


@inlined
def nanoseconds(high: int, low: int, power_of_two: bool, exponent: int) -> int:
    """A 64-bit count of 10^-exponent or 2^-exponent seconds (if_tsresol) as nanoseconds, without overflow."""
    ticks = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    billion = np.uint64(1_000_000_000)
    if power_of_two:
        if exponent > 63:
            return 0
        shift = np.uint64(exponent)
        seconds = ticks >> shift
        fraction = ticks - (seconds << shift)
        while shift > np.uint64(34):  # so that fraction * 10^9 stays below 2^64
            fraction >>= np.uint64(1)
            shift -= np.uint64(1)
        return np.int64(seconds * billion + ((fraction * billion) >> shift))
    scale = np.uint64(1)
    if exponent <= 9:
        for _ in range(9 - exponent):
            scale *= np.uint64(10)
        return np.int64(ticks * scale)
    for _ in range(min(exponent - 9, 19)):
        scale *= np.uint64(10)
    return np.int64(ticks // scale)


@inlined
def walk_pcapng(
    block: Bytes, position: int, stop: int, big_endian: bool, interfaces: InterfaceRows, frame: int, packets: PacketRows
) -> tuple[int, int, int]:
    """List the packets of EPB, SPB and PB blocks; end with SPECIAL at a block that Python must read.

    Returns as ``walk_pcap`` does.
    """
    count = 0
    while count < packets.size:
        if position + 12 > stop:
            return count, position, MORE
        kind = u32(block, position, big_endian)
        if kind != EPB and kind != SPB and kind != PB:
            return count, position, SPECIAL
        total = u32(block, position + 4, big_endian)
        if total < 16 or total > LARGEST_BLOCK:
            return count, position, DAMAGED
        if total % 4 and (position + total > stop or u32(block, position + total - 4, big_endian) != total):
            total += 4 - total % 4  # its padding is there, but not counted
        if position + total > stop:
            return count, position, MORE
        body = position + 8
        room = total - 12
        which = 0
        if kind == SPB:
            begin = body + 4
        else:
            if room < 20:
                return count, position, DAMAGED
            which = u16(block, body, big_endian) if kind == PB else u32(block, body, big_endian)
            begin = body + 20
        if which >= interfaces.size:
            return count, position, SPECIAL  # that it cannot be read is counted
        interface = interfaces[which]
        if kind == SPB:
            original = u32(block, body, big_endian)
            captured = min(original, room - 4)
            if interface.snap_length:
                captured = min(captured, interface.snap_length)
        else:
            captured = u32(block, body + 12, big_endian)
            original = u32(block, body + 16, big_endian)
            if captured > room - 20 or captured > LARGEST_BLOCK:
                return count, position, DAMAGED
        time = np.int64(0)
        if kind != SPB:
            high, low = u32(block, body + 4, big_endian), u32(block, body + 8, big_endian)
            time = nanoseconds(high, low, interface.power_of_two != 0, interface.exponent) + interface.offset
        number, link = interface.number, interface.link
        list_packet(packets[count], time, frame + count + 1, begin, captured, original, number, link)
        position += total
        count += 1
    return count, position, FULL


@dataclass(eq=False, repr=False)
class InterfaceInfo:
    """What an interface description block and the statistics that followed say of one interface."""

    link_type: int
    snap_length: int
    name: str | None = None
    description: str | None = None
    received: int | None = None
    dropped: int | None = None
    exponent: int = 6
    power_of_two: bool = False
    offset_seconds: int = 0


@dataclass(eq=False, repr=False)
class PcapngState:
    """All that blocks other than packets have said so far.

    ``interfaces`` lists the interfaces of every section. ``secrets`` counts DSB blocks; ``key_logs`` holds those of TLS, in memory alone.
    """

    numbering: Interfaces = field(default_factory=Interfaces)
    big_endian: bool = False
    interfaces: list[InterfaceInfo] = field(default_factory=list)
    rows: Any = field(default_factory=lambda: np.zeros(0, INTERFACE).view(np.recarray))  # with room for more
    section_start: int = 0
    secrets: int = 0
    undescribed: int = 0  # packets of interfaces that no block before them describes
    key_logs: list[bytes] = field(default_factory=list)
    application: str | None = None
    _secret_bytes: int = 0
    _like: Counter[tuple[int, str | None]] = field(
        default_factory=Counter
    )  # interfaces of the section by what they are

    @property
    def section(self) -> Any:
        """The interfaces of the section being read, as the array that ``walk_pcapng`` wants."""
        return self.rows[: len(self.interfaces) - self.section_start]

    def standing(self) -> dict[str, Any]:
        """All of it but secrets, as JSON has it."""
        return {
            "big_endian": self.big_endian,
            "interfaces": [asdict(info) for info in self.interfaces],
            "rows": self.section.tolist(),
            "section_start": self.section_start,
            "secrets": self.secrets,
            "application": self.application,
            "like": [[*key, count] for key, count in self._like.items()],
        }

    def go_on(self, standing: Mapping[str, Any]) -> None:
        """Let it be as it was when ``standing`` was asked for, but for what secrets there are; see ``know``."""
        self.big_endian = bool(standing["big_endian"])
        self.interfaces = [InterfaceInfo(**info) for info in standing["interfaces"]]
        self.rows = np.array([tuple(row) for row in standing["rows"]], INTERFACE).view(np.recarray)
        self.section_start, self.application = int(standing["section_start"]), standing["application"]
        self.secrets = int(standing["secrets"])
        self._like.update({(link_type, name): count for link_type, name, count in standing["like"]})

    def know(self, secrets: Sequence[bytes]) -> None:
        """The secrets that were read before."""
        self.key_logs.extend(secrets)
        self._secret_bytes = sum(map(len, secrets))

    @property
    def order(self) -> Literal["little", "big"]:
        return "big" if self.big_endian else "little"

    def block_length(self, head: bytes) -> int | None:
        """The length of the block that begins with these (at least 12) bytes; ``None`` if none can begin so.

        Some writers do not count the padding at its end; others leave it out. The length that is repeated there tells.
        """
        order = self.order
        if head[:4] == MAGIC:
            if head[8:12] not in BYTE_ORDER:
                return None
            order = "big" if BYTE_ORDER[head[8:12]] == "big" else "little"
        total = int.from_bytes(head[4:8], order)
        if not 12 <= total <= LARGEST_BLOCK:
            return None
        is_whole = total % 4 == 0 or head[total - 4 : total] == total.to_bytes(4, order)
        return total if is_whole else total + 4 - total % 4

    def read_block(self, data: bytes) -> None:
        """Take in one whole block that is no packet, or one of which nobody knows how to read it.

        Others (name resolution, custom, unknown ones) are passed over.
        """
        if data[:4] == MAGIC:
            self.big_endian = BYTE_ORDER[data[8:12]] == "big"
            self.section_start = len(self.interfaces)
            self._like.clear()
            self.application = self._text(dict(self._options(data[24:-4])).get(4)) or self.application
            return
        kind = int.from_bytes(data[:4], self.order)
        body = data[8:-4]
        if kind == IDB and len(body) >= 8:
            self._interface(body)
        elif kind == ISB and len(body) >= 12:
            self._statistics(body)
        elif kind in (EPB, SPB, PB):
            self.undescribed += 1
        elif kind == DSB:
            self.secrets += 1
            if self._number(body[:4]) == TLS_KEY_LOG and self._secret_bytes < MOST_SECRETS:
                self.key_logs.append(body[8 : 8 + self._number(body[4:8])])
                self._secret_bytes += len(body)

    def _number(self, data: bytes) -> int:
        return int.from_bytes(data, self.order)

    @staticmethod
    def _text(data: bytes | None) -> str | None:
        return printable(data[:LONGEST_TEXT].decode("utf-8", "replace").rstrip("\0")) if data else None

    def _options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(code, value) of each option, until the end mark or until one does not fit."""
        at = 0
        while at + 4 <= len(data):
            code, length = self._number(data[at : at + 2]), self._number(data[at + 2 : at + 4])
            if code == 0 or at + 4 + length > len(data):
                return
            yield code, data[at + 4 : at + 4 + length]
            at += 4 + (length + 3) // 4 * 4

    def _interface(self, body: bytes) -> None:
        options = dict(self._options(body[8:]))
        info = InterfaceInfo(
            self._number(body[0:2]), self._number(body[4:8]), self._text(options.get(2)), self._text(options.get(3))
        )
        if options.get(9):
            info.power_of_two, info.exponent = bool(options[9][0] & 0x80), options[9][0] & 0x7F
        if len(options.get(14, b"")) == 8:
            info.offset_seconds = int.from_bytes(options[14], self.order, signed=True)
        like = self._like[info.link_type, info.name]
        self._like[info.link_type, info.name] += 1
        number = self.numbering.number(info.link_type, info.name, like)
        if len(self.section) == len(self.rows):
            more = np.zeros(max(8, 2 * len(self.rows)), INTERFACE).view(np.recarray)
            more[: len(self.rows)] = self.rows
            self.rows = more
        self.interfaces.append(info)
        # A snap length of 0 means no limit; a hostile offset must not overflow the clock.
        offset = max(-(2**33), min(2**33, info.offset_seconds)) * 1_000_000_000
        self.rows[len(self.section) - 1] = (
            layer_of_link_type(info.link_type),
            min(info.snap_length, LARGEST_PACKET * 64),
            offset,
            info.power_of_two,
            info.exponent,
            number,
        )

    def _statistics(self, body: bytes) -> None:
        which = self.section_start + self._number(body[0:4])
        if which >= len(self.interfaces):
            return
        info = self.interfaces[which]
        for code, value in self._options(body[12:]):
            if code == 4 and len(value) == 8:
                info.received = self._number(value)
            elif code == 5 and len(value) == 8:
                info.dropped = self._number(value)
