"""Routing tables in MRT files: TABLE_DUMP_V2 (RFC 6396 4.3), with additional paths (RFC 8050).

A full table has a million routes but few distinct sets of attributes next to it, so each set is read once.
"""

from typing import NamedTuple

from auditor.paths.routes import Address, Hop, Routes
from auditor.prefixes import V4_MAPPED

TABLE_DUMP_V2 = 13
PEER_INDEX_TABLE = 1
V4_UNICAST, V6_UNICAST, V4_ADDPATH, V6_ADDPATH = 2, 4, 8, 10
# Type and subtype of the records with routes -> bits of an address, bytes of an entry's path identifier.
RIBS = {
    bytes((0, TABLE_DUMP_V2, 0, subtype)): (width, extra)
    for subtype, width, extra in ((V4_UNICAST, 32, 0), (V6_UNICAST, 128, 0), (V4_ADDPATH, 32, 4), (V6_ADDPATH, 128, 4))
}
ORIGIN, AS_PATH, NEXT_HOP, MED, LOCAL_PREF, COMMUNITIES, MP_REACH = 1, 2, 3, 4, 5, 8, 14
AS_SET, AS_SEQUENCE = 1, 2
DEFAULT_PREFERENCE = 100
MOST_KNOWN = 1 << 17  # sets of attributes remembered at one time


class Path(NamedTuple):
    """A set of attributes: what the decision process ranks it by (lowest first), and its hop."""

    rank: tuple[int, int, int, int]
    hop: Hop


def is_mrt(data: bytes) -> bool:
    """Whether a file begins with a record of TABLE_DUMP_V2."""
    return len(data) >= 12 and data[4:6] == b"\0\x0d" and data[6] == 0 and data[7] <= 12


# Other records of RFC 6396 and of older writers, by what to give instead.
OTHERS = {
    11: "OSPFv2",
    12: "TABLE_DUMP",
    16: "BGP4MP",
    17: "BGP4MP_ET",
    32: "ISIS",
    33: "ISIS_ET",
    48: "OSPFv3",
    49: "OSPFv3_ET",
}


def other_kind(data: bytes) -> str | None:
    """The name of MRT records that are not read, where a file begins with one."""
    if len(data) < 12 or data[4] != 0 or data[6] != 0 or data[7] > 12:
        return None
    length = int.from_bytes(data[8:12], "big")
    if length > len(data) - 12:
        return None
    following = data[12 + length : 12 + length + 8]  # another record, or the end
    alike = not following or (following[4:5] == b"\0" and following[5] in OTHERS)
    return OTHERS.get(data[5]) if alike else None


def attributes(data: bytes, wide: bool = True, abbreviated: bool = True) -> Path:
    """Path attributes (RFC 4271 4.3). ``wide``: AS numbers have four bytes. Raises ValueError where they do not fit.

    ``abbreviated``: MP_REACH_NLRI holds a next hop alone, as in TABLE_DUMP_V2 (some writers put in all of it).
    """
    at, origin, med, preference = 0, 2, 0, DEFAULT_PREFERENCE
    as_path: tuple[int, ...] = ()
    length = 0
    communities: tuple[str, ...] = ()
    next_hop: Address | None = None
    while at + 3 <= len(data):
        flags, kind = data[at], data[at + 1]
        if flags & 0x10:
            size, at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        else:
            size, at = data[at + 2], at + 3
        value = data[at : at + size]
        if len(value) < size:
            raise ValueError(f"attribute {kind} is cut short")
        at += size
        if kind == AS_PATH:
            as_path, length = _as_path(value, 4 if wide else 2)
        elif kind == NEXT_HOP and size == 4:
            next_hop = (0, V4_MAPPED | int.from_bytes(value, "big"))
        elif kind == MP_REACH:
            next_hop = _mp_next_hop(value, abbreviated)
        elif kind == COMMUNITIES:
            pairs = (value[k : k + 4] for k in range(0, size - 3, 4))
            communities = tuple(sorted(f"{p[0] << 8 | p[1]}:{p[2] << 8 | p[3]}" for p in pairs))
        elif kind == ORIGIN and size:
            origin = value[0]
        elif kind == MED:
            med = int.from_bytes(value, "big")
        elif kind == LOCAL_PREF:
            preference = int.from_bytes(value, "big")
    return Path((-preference, length, origin, med), Hop(next_hop, None, as_path[:1], communities, "bgp"))


def _as_path(value: bytes, width: int) -> tuple[tuple[int, ...], int]:
    """AS numbers in order, and the path's length: a set counts as one (RFC 4271 9.1.2.2)."""
    numbers: list[int] = []
    at = length = 0
    while at + 2 <= len(value):
        kind, count = value[at], value[at + 1]
        end = at + 2 + count * width
        if kind not in (1, 2, 3, 4) or end > len(value):
            raise ValueError("the AS path does not fit")
        numbers += [int.from_bytes(value[k : k + width], "big") for k in range(at + 2, end, width)]
        length += 1 if kind == AS_SET else count if kind == AS_SEQUENCE else 0
        at = end
    if at != len(value):
        raise ValueError("the AS path does not fit")
    return tuple(numbers), length


def _without_path(blob: bytes) -> tuple[bytes, int]:
    """Attributes without the AS path, all but its first number, and how many it has: what many routes share.

    An AS path of more than one segment, or with a long header, stays in: those are read in full.
    """
    at, end = 0, len(blob)
    while at + 3 <= end:
        if blob[at + 1] == AS_PATH:
            size = blob[at + 2]
            if blob[at] & 0x10 or size < 6 or blob[at + 3] != AS_SEQUENCE or 2 + 4 * blob[at + 4] != size:
                break
            return blob[: at + 2] + b"\6\2\1" + blob[at + 5 : at + 9] + blob[at + 3 + size :], blob[at + 4]
        at += 4 + (blob[at + 2] << 8 | blob[at + 3]) if blob[at] & 0x10 else 3 + blob[at + 2]
    return blob, 0


def _mp_next_hop(value: bytes, abbreviated: bool) -> Address | None:
    if abbreviated and value[:1] not in (b"\x10", b"\x20", b"\x04"):
        abbreviated = False
    at = 1 if abbreviated else 4
    size = value[at - 1] if len(value) >= at else 0
    hop = value[at : at + size]
    if size in (16, 32) and len(hop) == size:
        return int.from_bytes(hop[:8], "big"), int.from_bytes(hop[8:16], "big")
    return (0, V4_MAPPED | int.from_bytes(hop, "big")) if size == 4 and len(hop) == 4 else None


def read(data: bytes, routes: Routes) -> None:  # noqa: C901 - one branch for each kind of record
    """Add the routes of a dump; of several for one prefix the one that the decision process prefers.

    Raises ValueError with the place where the file is damaged, or the name of what is not read.
    """
    kind = other_kind(data)
    if kind is not None:
        raise ValueError(
            f"MRT records of type {kind} hold no table of routes in force; give a dump of type TABLE_DUMP_V2, "
            "as bgpdump, bgpkit or `dump bgp routes-mrt` of FRR write"
        )
    at, end = 0, len(data)
    known: dict[bytes, tuple[tuple[int, int, int, int], int]] = {}
    prefixes, hops = routes.prefixes, routes.hop
    while at + 12 <= end:
        begin = at + 12
        at = begin + int.from_bytes(data[at + 8 : begin], "big")
        if at > end:
            raise ValueError(f"the record at byte {begin - 12} is cut short")
        width, extra = RIBS.get(data[begin - 8 : begin - 4], (0, 0))
        if not width:
            continue
        bits = data[begin + 4]
        if bits > width:
            raise ValueError(f"the record at byte {begin - 12} has a prefix of {bits} bits")
        size = (bits + 7) >> 3
        here = begin + 7 + size
        network = int.from_bytes(data[begin + 5 : here - 2], "big") << (width - 8 * size)
        count = data[here - 2] << 8 | data[here - 1]
        best = None
        for _ in range(count):
            start = here + 8 + extra
            if start > at:
                raise ValueError(f"the record at byte {begin - 12} is cut short")
            here = start + (data[start - 2] << 8 | data[start - 1])
            blob, hops_away = _without_path(data[start:here])
            path = known.get(blob)
            if path is None:
                parsed = attributes(blob)
                if len(known) >= MOST_KNOWN:
                    known.clear()
                path = known[blob] = parsed.rank, routes.number(parsed.hop)
            if count > 1:
                preference, length, origin, med = path[0]
                path = (preference, hops_away or length, origin, med), path[1]
                if best is None or path[0] < best[0]:
                    best = path
            else:
                best = path
        if best is not None:
            prefixes.append((4 if width == 32 else 6, network, bits))
            hops.append(best[1])
    if at != end:
        raise ValueError(f"the record at byte {at} is cut short")
