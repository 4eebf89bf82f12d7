"""What is counted of each capture, as the table ``captures`` says it, and inputs that could not be read."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import pyarrow as pa

from auditor.border.words import BETWEEN, agreed
from auditor.capture.inputs import Input
from auditor.flows import state as S
from auditor.reading.clocks import correction
from auditor.reading.sources import SKIPPED, CaptureCounts
from auditor.tables import arrow

LONG_GAP = 60_000_000_000  # nanoseconds between captures that are read as one, from which on it is reported


@dataclass(frozen=True, eq=False, repr=False)
class Capture:
    """One capture: the fields are columns of ``captures``."""

    capture: str
    sha256: str | None
    bytes: int
    format: str
    compression: str | None
    link_types: str | None
    interfaces: str | None
    packets: int
    duplicates: int
    retransmissions: int
    wire_bytes: int
    started: int | None
    ended: int | None
    gap_s: float | None
    overlap_s: float | None
    clock_offset_s: float | None
    flows: int
    handshakes: int
    not_ip: int
    other_ip: int
    fragments: int
    reassembled: int
    incomplete: int
    short: int
    cut: int
    malformed: int
    encrypted: int
    dropped: int | None
    segments_dropped: int
    ended_early: int
    secrets: int
    status: str
    damage_offset: int | None
    warnings: str | None

    @property
    def lacks(self) -> list[str]:
        """What the capture lacks of what was on the wire, as far as it says so."""
        counts = (
            (self.dropped, "packet was", "packets were", "dropped while capturing"),
            (self.short, "packet is", "packets are", "cut off by the snapshot length"),
            (self.cut, "packet ends", "packets end", "inside a header"),
            (self.incomplete, "fragmented IP datagram", "fragmented IP datagrams", "never became whole"),
            (self.segments_dropped, "TCP segment", "TCP segments", "came with too many gaps"),
            (self.ended_early, "flow was", "flows were", "ended early because memory was full"),
        )
        lacks = [f"{number} {agreed(number, one, several)} {what}" for number, one, several, what in counts if number]
        if self.status not in ("complete", SKIPPED):
            lacks.append(f"the file is {self.status} at byte {self.damage_offset}")
        return lacks


def capture_of(item: Input, counted: CaptureCounts, odd: Iterable[str] = ()) -> Capture:
    """What was counted of an input; waits until all of it is hashed. ``odd``: what judging says of it, a sentence each."""
    c, notes, fragments, sha256 = counted.counters, counted.notes, counted.fragments, item.sha256()
    packets = int(c[S.PACKETS])
    return Capture(
        capture=item.name,
        sha256=sha256,
        bytes=counted.bytes,
        format=notes.format,
        compression=notes.compression,
        link_types=notes.link_names(),
        interfaces=" ".join(name for name in counted.interfaces if name) or None,
        packets=packets,
        duplicates=int(c[S.DUPLICATES]),
        retransmissions=int(c[S.RETRANSMITTED]),
        wire_bytes=int(c[S.WIRE_BYTES]),
        started=int(c[S.FIRST_TIME]) if packets else None,
        ended=int(c[S.LAST_TIME]) if packets else None,
        gap_s=None if counted.apart is None or counted.apart < 0 else counted.apart / 1e9,
        overlap_s=None if counted.apart is None or counted.apart >= 0 else -counted.apart / 1e9,
        clock_offset_s=None if counted.offset is None else counted.offset / 1e9,
        flows=counted.flows,
        handshakes=counted.handshakes,
        not_ip=int(c[S.NOT_IP_PACKETS]),
        other_ip=int(c[S.OTHER_IP_PACKETS]),
        fragments=fragments.seen,
        reassembled=fragments.whole,
        incomplete=fragments.incomplete,
        short=int(c[S.SHORT_PACKETS]),
        cut=int(c[S.CUT_PACKETS]),
        malformed=int(c[S.MALFORMED_PACKETS]),
        encrypted=int(c[S.ENCRYPTED_PACKETS]),
        dropped=counted.dropped,
        segments_dropped=int(c[S.DROPPED_SEGMENTS]),
        ended_early=counted.evicted,
        secrets=counted.secrets,
        status=notes.status,
        damage_offset=notes.damage_offset,
        warnings=BETWEEN.join(one.replace(BETWEEN, ", ") for one in _warnings(item, counted, odd)) or None,
    )


def _copies(count: int, *, is_alone: bool) -> str:
    """What packets are that are counted once with others; ``is_alone``: no other file is read as one with theirs."""
    if is_alone:
        what = f"{agreed(count, 'packet is', 'packets are')} in it twice, seen at several places"
    else:
        what = (
            f"{agreed(count, 'packet is a copy of another', 'packets are copies of others')}, there or in files before"
        )
    return f"{what}, and {agreed(count, 'counts', 'count')} once"


def _order(counted: CaptureCounts) -> Iterable[str]:
    """How far the packets are from the order of time, and what was done about it."""
    steps = counted.steps
    if steps.count:
        are = agreed(steps.count, "packet is earlier than one before it", "packets are earlier than ones before them")
        seconds = f"{steps.most / 1e9:,.6f}".rstrip("0").rstrip(".")
        words = f"{steps.count} {are}, by {seconds} s at most (frame {steps.frame})"
        late = f"{counted.late} of them came too late for that (reordercap puts all in order)"
        yield f"{words}: they are audited in the order of time" + (f", but {late}" if counted.late else "")


def _reports(counted: CaptureCounts) -> Iterable[str]:
    """What was done about what switches and routers report of traffic."""
    c = counted.counters
    if c[S.EXPORTS]:
        samples, left_out = counted.samples, counted.samples_left_out
        sampled = f"{samples} {agreed(samples, 'sampled packet is', 'sampled packets are')}"
        what = f"{sampled}, nothing else" if samples else "nothing is"
        flows = f"{c[S.EXPORTS]} {agreed(c[S.EXPORTS], 'flow carries', 'flows carry')}"
        yield f"{flows} sFlow, NetFlow or IPFIX; of what is reported in them {what} looked into"
        if left_out:
            those = agreed(left_out, "sampled packet is", "sampled packets are")
            yield f"{left_out} {those} left out: too many for their block"


def _cut(c: S.Array) -> Iterable[str]:
    """What of packets is not there. One that lacks bytes may end inside a header as well, and another may be whole but for that."""
    lacking, inside = int(c[S.SHORT_PACKETS]), int(c[S.CUT_PACKETS])
    if lacking:
        yield f"{lacking} {agreed(lacking, 'packet is', 'packets are')} cut (a snap length, a mirror's packet length or MTU): what was behind is not known"
    if inside:
        yield f"{inside} {agreed(inside, 'packet ends', 'packets end')} inside a header (cut, or sent so): of what flow it is does not show"


def _unread(counted: CaptureCounts) -> Iterable[str]:
    """What was not looked into, and why: no flow tells of it, so that no verdict does."""
    c = counted.counters
    malformed, encrypted = int(c[S.MALFORMED_PACKETS]), int(c[S.ENCRYPTED_PACKETS])
    if malformed:
        has = agreed(malformed, "packet has a header that contradicts", "packets have headers that contradict")
        yield f"{malformed} {has} {agreed(malformed, 'itself', 'themselves')}: what is behind is not read"
    if encrypted:
        are = agreed(encrypted, "frame is", "frames are")
        yield f"{encrypted} {are} encrypted below IP (MACsec, 802.11): what is inside cannot be seen"
    without_ip, others = int(c[S.NOT_IP_PACKETS]), int(c[S.OTHER_IP_PACKETS])
    if without_ip + others and without_ip + others + malformed + encrypted == c[S.PACKETS]:
        kinds = [
            (others, "of an IP protocol without flows"),
            (without_ip, "without IP, or of a link type that is not decoded"),
        ]
        listed = " and ".join(f"{count} {agreed(count, 'is', 'are')} {kind}" for count, kind in kinds if count)
        yield f"none of its packets belongs to a flow: {listed}"


def _about_packets(counted: CaptureCounts) -> Iterable[str]:
    """Why there are no packets of a capture, or not all."""
    if counted.outside:
        are = agreed(counted.outside, "of its packets is", "of its packets are")
        yield f"{counted.outside:,} {are} not of the time that was asked for"
    elif not counted.counters[S.PACKETS] and counted.notes.status == "complete":
        yield "holds no packets"


def _warnings(item: Input, counted: CaptureCounts, odd: Iterable[str]) -> Iterable[str]:
    """What was odd about a capture, in words."""
    c, notes, fragments = counted.counters, counted.notes, counted.fragments
    yield from notes.warnings
    yield from odd
    yield from counted.warnings
    yield from _about_packets(counted)
    yield from _order(counted)
    if item.was_changed():
        yield f"was written to while it was read: the results cover its first {counted.bytes} {agreed(counted.bytes, 'byte')}"
    if c[S.DUPLICATES]:
        yield f"{c[S.DUPLICATES]} {_copies(c[S.DUPLICATES], is_alone=counted.apart is None)}"
    yield from _cut(c)
    yield from _unread(counted)
    yield from _reports(counted)
    if correction(counted.offset):
        assert counted.offset is not None
        yield f"its clock is {counted.offset / 1e9:+.3f} s ahead of that of captures before it, which is taken off its times"
    if counted.unsure is not None:
        what = "its clock is ahead, or they came again: nothing decides, and its times stay as they are"
        yield f"packets of captures before it are in it {counted.unsure / 1e9:+.3f} s later: {what}"
    if counted.apart is not None and counted.apart >= LONG_GAP:
        seconds = counted.apart / 1e9
        yield f"begins {seconds:,.0f} s after the captures before it end: is one missing, or is it another network (--apart)?"
    if fragments.incomplete:
        yield f"{fragments.incomplete} fragmented IP {agreed(fragments.incomplete, 'datagram')} never became whole"
    if fragments.overlapping:
        yield f"{fragments.overlapping} IP {agreed(fragments.overlapping, 'fragment overlaps', 'fragments overlap')} others: an attack, or a broken sender"
    if counted.evicted:
        ended = agreed(counted.evicted, "flow was ended early, the one", "flows were ended early, those")
        yield f"memory: {counted.evicted} {ended} idle the longest; --memory with a larger size keeps more"
    if counted.forgotten:
        forgotten = agreed(counted.forgotten, "answer of the DNS was", "answers of the DNS were")
        yield f"memory: {counted.forgotten} {forgotten} forgotten, the oldest"
    if counted.left_out:
        words = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.left_out.items()))
        yield f"memory: more is shown of the network than is kept, the first {words} are not in the table network"


@dataclass(eq=False, repr=False)
class Captures:
    """The inputs of an audit or a part of it, each by its number among all inputs."""

    read: dict[int, Capture] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)  # why

    def merge(self, other: "Captures") -> "Captures":
        """The inputs of both."""
        return Captures(self.read | other.read, self.unreadable | other.unreadable)

    def rows(self) -> list[Capture]:
        """What was read, in the order of the inputs."""
        return [capture for _, capture in sorted(self.read.items())]

    def errors(self) -> list[str]:
        """Why inputs could not be read, in their order."""
        return [reason for _, reason in sorted(self.unreadable.items())]

    def table(self) -> pa.Table:
        """The table ``captures``."""
        rows = self.rows()
        if not rows:
            return arrow.empty("captures")
        return arrow.build("captures", {f.name: [getattr(row, f.name) for row in rows] for f in fields(Capture)})
