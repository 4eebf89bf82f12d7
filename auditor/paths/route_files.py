"""Readers of routing tables in files: what routers and operating systems print. Told apart by their contents."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditor.border import gate, rows
from auditor.border.rows import Taken
from auditor.border.words import counted
from auditor.capture.compression import allowed, unpacked
from auditor.errors import InputError, shown
from auditor.machine.memory import Allowance
from auditor.paths import mrt, mrt_records, mrt_updates, route_columns, route_json, route_screen, route_texts
from auditor.paths.mrt_records import Contents
from auditor.paths.route_texts import hop_of
from auditor.paths.route_vrfs import Entry, of_default
from auditor.paths.routes import Hop, Routes
from auditor.prefixes import parse, parse_address

KNOWN = (
    "MRT TABLE_DUMP_V2 and BGP4MP, `ip route` and `ip -j route`, FRR's `show bgp … json` and `show ip route json`, the text of "
    "`show ip bgp`, of `show ip route` (IOS, XR, EOS, NX-OS, AOS-CX, FortiOS, FRR, VyOS) and of `show route` (Junos, BIRD, ASA), "
    "`show route` (Gaia), `display ip routing-table` (VRP, Comware), `show router route-table` (SR OS), "
    "`netstat -rn` and `route -n` (Linux, BSD, macOS), `route print` and Get-NetRoute (Windows), `/ip route print` "
    "(RouterOS, also detail and terse), `show routing route` (PAN-OS), `show ip route | json` (EOS), `gobgp global rib`, `bgpctl show rib`"
)
DEFAULT_VRF = "default"
# Bytes of memory that a byte of a routing table becomes, of short routes; MRT is read into columns.
FACTOR, MRT_FACTOR = 24, 8
PEEKED = 1 << 17  # bytes in which a whole record's header lies, and mostly its body
COMMUNITY_NAMES = {"no-export": "65535:65281", "no-advertise": "65535:65282"}


def read_all(
    files: Iterable[tuple[str | Path, str | None]], notes: list[str] | None = None, allowance: Allowance | None = None
) -> list[Routes]:
    """The routes of files, each with its site; those of several MRT files of one router are one table."""
    allowance, notes = allowance or Allowance(), [] if notes is None else notes
    tables: list[Routes | None] = []
    of_site: dict[str | None, list[tuple[str | Path, Contents]]] = {}
    for path, site in files:
        if _is_mrt(path):
            if site not in of_site:
                tables.append(None)  # its place
            of_site.setdefault(site, []).append((path, _surveyed(path, allowance)))
        else:
            tables.append(read(path, site, notes, allowance))
    for site, group in of_site.items():
        one = mrt_records.are_one_routers([contents for _, contents in group])
        read_from = [_of_mrt(some, site, notes) for some in ([group] if one else [[file] for file in group])]
        at = tables.index(None)
        tables[at : at + 1] = read_from
    return [table for table in tables if table is not None]


def read(
    path: str | Path, site: str | None = None, notes: list[str] | None = None, allowance: Allowance | None = None
) -> Routes:
    """The routes of a file, compressed or not. Raises InputError naming the file, the place and what is wrong.

    A route that cannot be read is left out; ``notes`` gets a sentence on these.
    """
    name = Path(path).name
    allowance = allowance or Allowance()
    if _is_mrt(path):
        return _of_mrt([(path, _surveyed(path, allowance))], site, [] if notes is None else notes)
    data = gate.in_utf8(allowed(Path(path), allowance, FACTOR))
    routes = Routes(name, site)
    with _named(path):
        if data.lstrip()[:1] in (b"[", b"{"):
            wrong = _json(gate.from_json(data), routes)
        else:
            wrong = _text(route_screen.shown(data.decode("utf-8", "replace")), routes)
    if not len(routes):
        why = f"none of its routes can be read ({wrong.why})" if wrong.skipped else "no routes are in it"
        raise InputError(f"{shown(path)}: {why}; known are {KNOWN}")
    if notes is not None and (words := wrong.words("route")) is not None:
        notes.append(f"{shown(path)}: {words}")
    return routes


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """What is wrong is said with the file's name."""
    try:
        yield
    except (ValueError, IndexError) as error:
        raise InputError(f"{shown(path)}: not a routing table: {error}; known are {KNOWN}") from error


def _is_mrt(path: str | Path) -> bool:
    begin = unpacked(Path(path), PEEKED)
    return mrt_records.is_mrt(begin) or mrt_records.other_kind(begin) is not None


def _surveyed(path: str | Path, allowance: Allowance) -> Contents:
    factor = MRT_FACTOR if mrt_records.is_dump(unpacked(Path(path), PEEKED)) else FACTOR
    with _named(path):
        return mrt_records.survey(gate.in_utf8(allowed(Path(path), allowance, factor)))


def _of_mrt(files: list[tuple[str | Path, Contents]], site: str | None, notes: list[str]) -> Routes:
    """The routes of MRT files of one router: those of a dump, or what dumps and updates say of each time."""
    names = " and ".join(shown(path) for path, _ in files)
    routes = Routes(" and ".join(Path(path).name for path, _ in files), site)
    contents = [one for _, one in files]
    open_before = 0
    with _named(names):
        if len(contents) == 1 and contents[0].is_one_dump:
            mrt.read(contents[0].data, contents[0].dumps[0], routes)
        else:
            open_before = mrt_updates.read(contents, routes)
    if not len(routes) and routes.changes is None:
        raise InputError(f"{names}: no routes are in it; known are {KNOWN}")
    notes += [f"{shown(path)}: {note}" for path, one in files for note in one.notes]
    if open_before:
        sessions = counted(open_before, "session")
        notes.append(f"{names}: {sessions} began before these updates, which do not say what was announced until then")
    return routes


def _json(data: Any, routes: Routes) -> Taken[None]:
    if isinstance(data, list):
        return _ip_route(data, routes)
    if (entries := route_json.entries(data)) is not None:
        return _add(entries, routes)
    by_vrf: dict[str, dict[str, list[Any]]] = {}
    for vrf, prefix, paths in _paths(data, DEFAULT_VRF):
        for path in paths:
            name = (rows.member(path, "vrfName", str) or vrf) if isinstance(path, dict) else vrf
            by_vrf.setdefault(name, {}).setdefault(prefix, []).append(path)
    if len(by_vrf) > 1 and DEFAULT_VRF not in by_vrf:
        raise ValueError(f"routes of the VRFs {', '.join(sorted(by_vrf))}: give those of one")

    def add(item: tuple[str, list[Any]]) -> None:
        prefix, paths = item
        best = [path for path in paths if _is_best(path)]
        hops = [hop for path in best[:1] for hop in _frr_hops(path)]
        hops += [hop for path in paths if path.get("multipath") and path not in best for hop in _frr_hops(path)]
        if best:
            routes.add(parse(prefix), _several(hops))

    # Which packets go by the other VRFs only the router's interfaces say.
    return rows.each(add, (by_vrf.get(DEFAULT_VRF) or next(iter(by_vrf.values()), {})).items())


def _paths(data: dict[str, Any], vrf: str) -> Iterator[tuple[str, str, list[Any]]]:
    """(VRF, prefix, paths) of what FRR prints: of one VRF, or of each under its name."""
    vrf = rows.member(data, "vrfName", str) or vrf
    for key, entry in (rows.member(data, "routes", dict) or data).items():
        # In `show bgp … detail json` paths are a level deeper.
        paths = entry.get("paths") if isinstance(entry, dict) else entry
        if "/" in key and isinstance(paths, list):
            yield vrf, key, paths
        elif isinstance(entry, dict) and ("routes" in entry or any("/" in inner for inner in entry)):
            yield from _paths(entry, key)


def _text(text: str, routes: Routes) -> Taken[None]:
    """What routers print for people."""
    if re.search(NETWORK_HEADER, text, re.MULTILINE) is not None:
        return _show_ip_bgp(text, routes)
    if (linux := route_texts.ip_route(text)) is not None:
        return _ip_route(linux, routes)
    entries = route_texts.entries(text)
    if entries is None:
        entries = route_columns.entries(text)
    taken: Taken[None] | None = _add(entries, routes) if entries is not None else None
    if not len(routes):
        route_texts.refuse(text)
    if taken is None:
        raise ValueError("nothing in it is a table of routes")
    return taken


def _add(entries: Iterable[Entry], routes: Routes) -> Taken[None]:
    return rows.each(lambda entry: routes.add(parse(entry[0]), _several(entry[1])), entries)


def _several(hops: list[Hop]) -> Hop:
    """One route of several next hops; without any it leads nowhere."""
    distinct = list(dict.fromkeys(hops))
    return distinct[0]._replace(others=tuple(distinct[1:])) if distinct else Hop()


def _is_best(path: dict[str, Any]) -> bool:
    """Whether a router uses it: `show ip route` says that it is selected, `show bgp` that it is the best path."""
    best = path.get("bestpath", path.get("selected", False))
    return bool(best.get("overall") if isinstance(best, dict) else best) and path.get("installed", True)


def _is_used(hop: dict[str, Any]) -> bool:
    dead = hop.get("linkDown") or hop.get("blackhole") or hop.get("unreachable") or hop.get("reject")
    return bool(hop.get("used", hop.get("active", True))) and hop.get("fib", True) and not dead


def _frr_hops(path: dict[str, Any]) -> list[Hop]:
    """The next hops of a path that are used; none where all are dead, or packets are thrown away."""
    nexthops = rows.objects(path, "nexthops")
    installed = [hop for hop in nexthops if hop.get("fib")]  # others are inactive, which FRR shows by leaving that out
    hops: list[dict[str, Any]] = [hop for hop in installed or nexthops if _is_used(hop)]
    if any(hop.get("resolver") for hop in hops):  # those by which recursive ones are reached stand beside them
        hops = [hop for hop in hops if not hop.get("recursive")]
    if nexthops and not hops:
        return []
    as_path = path.get("path", "")
    if isinstance(path.get("aspath"), dict):
        as_path = path["aspath"].get("string", "")
    community = path.get("community") or {}
    communities = (
        rows.member(community, "list", list) or str(community.get("string", "")).split()
        if isinstance(community, dict)
        else str(community).split()
    )
    numbers = _numbers(str(as_path))
    tags = tuple(sorted(_community(rows.text(c)) for c in communities))
    parsed = []
    for one in hops or [{}]:
        address = one.get("ip") or path.get("nexthop")
        hop = _next_hop(address) if address else None
        interface = rows.member(one, "interfaceName", str) or None
        parsed.append(Hop(hop, interface, numbers, tags, rows.member(path, "protocol", str) or "bgp"))
    return parsed


def _numbers(text: str) -> tuple[int, ...]:
    """The AS numbers of a path (RFC 6793: 32 bits each). Raises ValueError for others."""
    return tuple(rows.whole(number, 0, 0xFFFFFFFF) for number in re.findall(r"\b\d+\b", text))


def _community(text: str) -> str:
    """A community as AS:value, whatever name a router has for a well-known one (noExport, no-export)."""
    return COMMUNITY_NAMES.get(re.sub(r"(?<=[a-z])([A-Z])", r"-\1", text).lower(), text)


def _next_hop(text: str) -> tuple[int, int] | None:
    address = parse_address(rows.text(text))
    return None if address in route_texts.UNSPECIFIED else address


ELSEWHERE = ("local", "broadcast", "anycast", "multicast")  # types of routes that lead to no other router
DEAD = {"dead", "linkdown", "unresolved"}  # the kernel does not use such a next hop (ip-route(8))
MAIN = {"main", "default", "local", "254", "253", "255"}  # tables that are asked without a rule of the owner's


def _ip_route(listed: list[Any], routes: Routes) -> Taken[None]:
    """``ip -j route``, also with ``-6``, ``table all`` and ``nexthops``; of equal prefixes the lowest metric counts.

    Which packets go by a policy table only its rules say: such routes are left out. One for some sources or types of service
    (``from``, ``tos``) leaves open where the others to its prefix go. A route without a next hop in
    force is none; one that throws packets away leads nowhere, and hides shorter prefixes.
    """
    some = [row for row in listed if isinstance(row, dict)]
    is_v6 = any(":" in str(row.get("dst", "")) or ":" in str(row.get("gateway", "")) for row in some)
    best: dict[Any, tuple[int, list[Hop]]] = {}
    conditional: set[Any] = set()

    def add(row: dict[str, Any]) -> None:
        destination = rows.text(row["dst"])
        if str(row.get("table", "main")) not in MAIN or row.get("type") in ELSEWHERE:
            return
        leads = row.get("type", "unicast") == "unicast"
        among = rows.objects(row, "nexthops") or [row]
        hops = [_linux_hop(one, row) for one in among if not DEAD & set(rows.member(one, "flags", list))]
        if DEAD & set(rows.member(row, "flags", list)) or not hops:
            return
        if destination == "default":
            gateway, other = row.get("gateway"), rows.member(row, "via", dict).get("host")
            is_v6_default = ":" in str(gateway) if gateway else ":" not in str(other) if other else is_v6
            destination = "::/0" if is_v6_default else "0.0.0.0/0"  # ``via`` is of the other family (RFC 8950)
        prefix, metric = parse(destination), rows.whole(row.get("metric", 0), 0, 0xFFFFFFFF)
        known = best.get(prefix)
        if row.get("from", "all") not in ("all", "default") or row.get("tos", "0") not in ("0", "0x0", 0):
            conditional.add(prefix)
        if known is None or metric < known[0]:
            best[prefix] = metric, hops if leads else []
        elif metric == known[0] and leads:
            known[1].extend(hops)

    taken: Taken[None] = rows.each(add, listed)
    for prefix, (_, hops) in best.items():
        routes.add(prefix, _several([] if prefix in conditional else hops))
    return taken


def _linux_hop(one: dict[str, Any], row: dict[str, Any]) -> Hop:
    address = one.get("gateway") or rows.member(one, "via", dict).get("host")
    interface = rows.member(one, "dev", str) or None
    return Hop(_next_hop(address) if address else None, interface, protocol=rows.member(row, "protocol", str))


# Status codes in front of the routes of Cisco's IOS, IOS XR and NX-OS, of Arista's EOS, FRR and Quagga.
STATUS = frozenset(" *>=|&%<sdhrSRbfaxmteEcCiIlLNuV")
NETWORK_HEADER = r"^.*Network\s+Next ?Hop.*$"
PATH = re.compile(r"^ ?[VIN]?[*>][ >]")  # status codes
NETWORK = re.compile(r"^(?:\[[^\]]*\])?(?P<net>[0-9a-fA-F:.]+(?:/\d+)?)$")


def _classful(text: str) -> str:
    """A network as `show ip bgp` shortens it: without a length where it is that of its class (RFC 791)."""
    if "/" in text or ":" in text:
        return text
    first = int(text.split(".", maxsplit=1)[0])
    if text == "0.0.0.0":
        return "0.0.0.0/0"
    return f"{text}/{8 if first < 128 else 16 if first < 192 else 24}"


def _show_ip_bgp(text: str, routes: Routes) -> Taken[None]:
    """The table of Cisco, FRR and Quagga: best routes have ``>`` among the status codes in front."""
    found = re.search(NETWORK_HEADER, text, re.MULTILINE)
    assert found is not None

    def add(entry: Entry) -> None:
        routes.add(parse(_classful(entry[0])), _several(entry[1]))

    has_ecmp = "e - ECMP" in text
    return rows.each(add, of_default(text, lambda lines: _bgp_paths(lines, found.group(0), has_ecmp)))


def _bgp_paths(lines: Iterable[str], header: str, has_ecmp: bool) -> Iterator[Entry]:
    """The networks of lines under a header, with the next hops in force."""
    column = header.index("Network")
    network = None
    status = ""
    candidates: dict[str, list[Hop]] = {}
    best: set[str] = set()
    unused: set[str] = set()
    for line in lines:
        codes, rest = line[:column], line[column:]
        rest = rest[1:] if rest[:1] == " " and rest[1:2].strip() else rest
        fields = rest.split() if STATUS.issuperset(codes) else []
        named = NETWORK.match(fields[0]) if fields and not rest.startswith(" ") else None
        if named is None and (not fields or not rest.startswith(" ")):
            if PATH.match(line) is not None:
                yield line.strip(), []  # its columns are not the header's: counted as one that cannot be read
            continue
        status = codes if codes.strip() else status
        if named is not None:
            network, fields = named["net"], fields[1:]
        if not fields or network is None or not (">" in status or _is_shared(status, has_ecmp)):
            continue  # a long network stands alone; its next hop is on the next line
        hops = candidates.setdefault(network, [])
        address, _, vrf = re.split("[(<]", fields[0])[0].partition("@")  # FRR: the number of its VRF, if another
        if (hop := hop_of(address, f"VRF {vrf}" if vrf else None)) is not None:
            hops.append(hop._replace(as_path=_as_path(rest, fields, header[column:]), protocol="bgp"))
        best |= {network} if ">" in status else set()
        unused |= {network} if "r" in status and "*" not in status else set()
        status = ""

    for network, hops in candidates.items():
        if network in best:
            # RIB-failure: another protocol's route is in force, which is not in this table.
            yield network, [] if network in unused else hops


def _is_shared(status: str, has_ecmp: bool) -> bool:
    """Whether a router spreads flows over a path besides the best: FRR's =, NX-OS's |, IOS's m, EOS's e (elsewhere external)."""
    return bool({"=", "|", "m"} & set(status)) or ("e" in status and has_ecmp)


def _as_path(rest: str, fields: list[str], header: str) -> tuple[int, ...]:
    """The AS path: what follows the weight, by the header's columns where the line keeps to them."""
    at = header.find("AS_PATH") if "AS_PATH" in header else header.find("Path")
    if "AS_PATH" in header:  # GoBGP: what follows is the age
        rest = rest[: header.find("Age")]
    tail = rest[at:] if 0 < at < len(rest) else " ".join(fields[-8:])
    try:
        return _numbers(tail)
    except ValueError:  # no path of AS numbers
        return ()
