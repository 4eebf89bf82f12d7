"""Routing tables that are printed in columns under a header: of hosts, and of some routers.

`netstat -rn` and `route -n` of Linux, BSD and macOS, `route print` and `Get-NetRoute` of Windows, RouterOS, PAN-OS, OpenBGPD,
`display ip routing-table` of VRP and Comware, `show router route-table` of SR OS.
Among routes to one prefix those of the lowest metric are in force; several of these share the load.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from auditor.border.words import is_number
from auditor.paths.route_texts import hop_of
from auditor.paths.route_vrfs import Entry
from auditor.paths.routes import Hop

Ranked = Iterator[tuple[str, int, Hop | None]]  # prefix, metric, next hop; None: packets to it are thrown away
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
CONNECTED = ("0.0.0.0", "*", "::", "[::]", "on-link")  # instead of a gateway: on the interface itself
PREFIX = re.compile(r"[\da-fA-F.:]+/\d+")
LINUX = r"^Destination +Gateway +Genmask +Flags .*$"
LINUX_6 = r"^Destination +Next Hop +Flags?\b.*$"
BSD = r"^Destination +Gateway +Flags\b.*$"
WINDOWS = (
    r"^(?:Network Destination +Netmask +Gateway +Interface +Metric| *If +Metric +Network Destination +Gateway)\s*$"
)
# The same in any language: its heading names the version, and a line of equals signs is below it.
WINDOWS_HEADING = r"^IPv[46][^\n]*\n={5,}"
NET_ROUTE = r"^ifIndex +DestinationPrefix +NextHop +RouteMetric +ifMetric\b.*$"
ROUTER_OS = r"^(?:#| #)? +DST-ADDRESS +.*GATEWAY\b.*$"
ROUTER_OS_DETAIL = r"^[ \d]+(?:[A-Za-z+][A-Za-z+ ]*)?dst-address=\S+ "
PAN_OS = r"^destination +nexthop +metric +flags\b.*$"
VRP = r"^ *Destination/Mask +Proto +Pre +Cost +(?:Flags +)?NextHop +Interface\s*$"
SR_OS = r"^Dest Prefix(?:\[Flags\])? +Type +Proto +Age +Pref\b"
VRP_TABLE = r"^ *Routing Tables? *: *(\S+)"
SR_OS_TABLE = r"^(?:IPv6 )?Route Table \((.+)\)"
OPEN_BGPD = r"^flags +(?:vs +)?destination +gateway +lpref\b.*$"


def entries(text: str) -> Iterator[Entry] | None:
    """The routes of a text, or None where it is none of these tables."""
    for sign, reader in READERS:
        if re.search(sign, text, re.MULTILINE) is not None:
            return _in_force(reader(text))
    return None


def _in_force(ranked: Ranked) -> Iterator[Entry]:
    """Each prefix with the next hops of its lowest metric; those that throw packets away leave it without any."""
    best: dict[str, tuple[int, list[Hop]]] = {}
    for prefix, metric, hop in ranked:
        known = best.get(prefix)
        if known is None or metric < known[0]:
            best[prefix] = known = metric, []
        if metric == known[0] and hop is not None:
            known[1].append(hop)
    for prefix, (_, hops) in best.items():
        yield prefix, hops


def _gateway(text: str, interface: str | None) -> Hop | None:
    """The next hop that a gateway's column names; one that is no address is on the interface itself."""
    address = text.strip("[]").partition("%")[0]
    if text.lower() in CONNECTED or text.startswith("link#") or re.fullmatch(r"(?:[0-9a-fA-F]{1,2}:){5}\w{1,2}", text):
        return hop_of(None, interface)
    return hop_of(address, interface)


def _after(text: str, header: str) -> Iterator[tuple[list[str], list[str]]]:
    """(names of the columns, fields) of each line below a header."""
    columns: list[str] = []
    for line in text.splitlines():
        if re.match(header, line.rstrip()) is not None:
            columns = line.replace("Next Hop", "Gateway").split()
        elif columns and line.strip():
            yield columns, line.split()


def _metric(fields: list[str], columns: list[str], *names: str) -> int:
    at = next((columns.index(name) for name in names if name in columns), None)
    return int(fields[at]) if at is not None and at < len(fields) and is_number(fields[at]) else 0


def _linux(text: str) -> Ranked:
    """``route -n`` and ``netstat -rn`` of Linux: an address and its mask."""
    for columns, fields in _after(text, LINUX):
        if len(fields) == len(columns) or (len(fields) == 8 and "!" in fields[3]):
            destination = EVERYWHERE[4] if fields[0] == "default" else f"{fields[0]}/{fields[2]}"
            hop = _gateway(fields[1], fields[-1]) if "!" not in fields[3] else None
            yield destination, _metric(fields, columns, "Metric"), hop


def _linux_6(text: str) -> Ranked:
    """The same of IPv6, where a prefix has its length."""
    for columns, fields in _after(text, LINUX_6):
        if len(fields) == len(columns) and "/" in fields[0]:
            destination = "".join(fields[0].split("[")).replace("]", "")
            hop = _gateway(fields[1], fields[-1]) if "!" not in fields[2] else None
            yield destination, _metric(fields, columns, "Met", "Metric"), hop


def _bsd(text: str) -> Ranked:
    """``netstat -rn`` of BSD and macOS. Routes of one interface alone (macOS: I) are for sockets that ask for it.

    A network's trailing zeros are left out; without a length it has that of what is written.
    """
    version, main, columns = 4, True, list[str]()
    at: int | None = None
    for line in text.splitlines():
        if line.startswith(("Routing tables", "Routing table:")):  # FreeBSD's and OpenBSD's further ones are not asked
            number = re.search(r"(?:fib:|table:|rdomain) *(\d+)", line)
            main = number is None or number[1] == "0"
        elif re.match(r"^Internet6?:", line):
            version = 6 if line.startswith("Internet6") else 4
        elif re.match(BSD, line.rstrip()) is not None:
            columns = line.split()
            at = next((columns.index(name) for name in ("Netif", "Iface", "Interface") if name in columns), None)
        elif columns and len(fields := line.split()) > 3 and main and _is_asked(fields):
            interface = fields[at] if at is not None and at < len(fields) else None
            thrown = bool(set("RB") & set(fields[2]))
            hop = None if thrown else _gateway(fields[1], interface)
            yield _bsd_prefix(fields[0], version), _metric(fields, columns, "Prio"), hop


def _is_asked(fields: list[str]) -> bool:
    """Whether a route is up, and not of one zone or one interface alone."""
    return "%" not in fields[0] and "U" in fields[2] and "I" not in fields[2]


def _bsd_prefix(text: str, version: int) -> str:
    if text == "default":
        return EVERYWHERE[version]
    address, _, length = text.partition("/")
    if version == 6:
        return f"{address}/{length or 128}"
    octets = address.split(".")
    return f"{'.'.join([*octets, *['0'] * (4 - len(octets))])}/{length or 8 * len(octets)}"


def _windows(text: str) -> Ranked:
    """``route print`` of Windows, in any language: active routes, which are the first list below the heading of a version.

    Its persistent ones stand among these where they are in force.
    """
    version, lists, wrapped = 0, 0, list[str]()
    for line in text.splitlines():
        fields = line.split()
        heading = re.match(r"IPv([46])", line)
        if heading is not None or re.match(WINDOWS, line):
            version = int(heading[1]) if heading is not None else 4 if "Netmask" in line else 6
            lists, wrapped = (0 if heading is not None else 1), []
        elif line.rstrip().endswith((":", "：")):
            lists += 1
        elif lists != 1:
            continue
        elif version == 4 and len(fields) >= 5 and is_number(fields[-1]) and _are_addresses(*fields[:2], fields[-2]):
            yield f"{fields[0]}/{fields[1]}", int(fields[-1]), _windows_hop(fields[2:-2])
        elif version == 6 and fields and (wrapped or is_number(fields[0])):
            wrapped = [*wrapped, *fields]  # a long destination has its gateway on the next line
            if len(wrapped) >= 4:
                metric = int(wrapped[1]) if is_number(wrapped[1]) else 0
                yield wrapped[2], metric, _windows_hop(wrapped[3:])
                wrapped = []


def _are_addresses(*texts: str) -> bool:
    return all(re.fullmatch(r"\d+(?:\.\d+){3}", text) for text in texts)


def _windows_hop(gateway: list[str]) -> Hop | None:
    """The next hop; what is no address says in the system's language that there is none: on the link."""
    return hop_of(gateway[0]) if len(gateway) == 1 and re.search(r"[.:]", gateway[0]) else Hop()


def _net_route(text: str) -> Ranked:
    """``Get-NetRoute`` of PowerShell: a route's metric and its interface's add up."""
    for _, fields in _after(text, NET_ROUTE):
        if len(fields) >= 5 and is_number(fields[0]) and fields[-1] != "PersistentStore":
            own, of_interface = (int(field) if is_number(field) else 0 for field in fields[3:5])
            yield fields[1], own + of_interface, _gateway(fields[2], None)


def _router_os(text: str) -> Ranked:
    """``/ip route print`` of RouterOS: active routes (A) of the main table; a list of gateways goes on below."""
    columns: dict[str, int] = {}
    prefix: str | None = None
    for line in text.splitlines():
        if re.match(ROUTER_OS, line.rstrip()) is not None:
            columns = {found[0]: found.start() for found in re.finditer(r"[A-Z-]{2,}", line)}
            continue
        if not columns:
            continue
        fields = line.split()
        at = next((k for k, field in enumerate(fields[:4]) if PREFIX.fullmatch(field)), None)
        if at is not None:
            flags = "".join(fields[:at])
            active = "A" in flags and not set("XIUPB") & set(flags)
            table = _cell(line, columns, "ROUTING-TABLE")
            listed = table in ("", "main")
            prefix = fields[at] if "A" in flags and listed else None
            if prefix is not None and not active:
                yield prefix, 0, None
        if prefix is not None and (at is None or active) and line.strip():
            gateway = _cell(line, columns, "GATEWAY")
            yield prefix, 0, _router_os_hop(gateway)


def _router_os_detail(text: str) -> Ranked:
    """``/ip route print detail`` and ``terse``: NAME=VALUE words behind flags, of which a route may have several lines."""
    for start, *more in _records(text):
        flags = _flags(start) or ""
        words = " ".join([start, *more]).split()
        value = dict(word.split("=", maxsplit=1) for word in words if "=" in word)
        table = value.get("routing-table") or value.get("routing-mark", "main")
        if "A" not in flags or table != "main" or "dst-address" not in value:
            continue
        thrown = set("XIUPB") & set(flags) or value.get("type", "unicast") != "unicast" or "blackhole" in words
        dead = {
            re.split("[,=]", one)[-1] for one, state in pairwise(words) if state.startswith(("unreachable", "inactive"))
        }
        gateways = [] if thrown else [one for one in value.get("gateway", "").strip('"').split(",") if one not in dead]
        for gateway in gateways or [""]:
            yield value["dst-address"], 0, _router_os_hop(gateway)


def _flags(line: str) -> str | None:
    """The flags with which a route begins: behind its number or some spaces, before a comment or the first NAME=."""
    before, comment, _ = line.partition(";;;")
    before, assigned, _ = before.partition("=")
    before = before.rpartition(" ")[0] if assigned else before
    found = re.fullmatch(r"(?: *\d+| )([A-Za-z+ ]*)", before) if comment or assigned else None
    return found[1] if found is not None and (before.strip() or comment) else None


def _records(text: str) -> Iterator[list[str]]:
    """The lines of each route: the first has flags, with or without a number."""
    record: list[str] = []
    for line in text.splitlines():
        if _flags(line) is not None:
            if record:
                yield record
            record = [line]
        elif record:
            record.append(line.strip())
    if record:
        yield record


def _cell(line: str, columns: dict[str, int], name: str) -> str:
    """What stands under a column's name, from where it begins: cells are aligned to the left and have no spaces."""
    at = columns.get(name)
    return "" if at is None else line[at:].split(" ", maxsplit=1)[0]


def _router_os_hop(gateway: str) -> Hop | None:
    address, _, interface = gateway.partition("%")
    if re.fullmatch(r"[\d.]+|[\da-fA-F]*:[\da-fA-F:.]*", address):
        return hop_of(address, interface or None)
    return hop_of(None, gateway) if gateway else None


def _pan_os(text: str) -> Ranked:
    """``show routing route`` of PAN-OS: active routes (A). Which packets go by which virtual router its zones say."""
    names = set(re.findall(r"^VIRTUAL ROUTER: (.+?) \(id", text, re.MULTILINE))
    if len(names) > 1 and "default" not in names:
        raise ValueError(f"routes of the virtual routers {', '.join(sorted(names))}: give those of one")
    mine = True
    for line in text.splitlines():
        if (heading := re.match(r"^VIRTUAL ROUTER: (.+?) \(id", line)) is not None:
            mine = len(names) == 1 or heading[1] == "default"
        fields = line.split()
        if not mine or len(fields) < 3 or re.match(r"^[\da-fA-F.:]+/\d+$", fields[0]) is None:
            continue
        rest = fields[3:] if is_number(fields[2]) else fields[2:]  # a metric may be missing
        if not any(re.match(r"A\b", field) for field in rest):
            continue
        interface = next((f for f in rest if re.match(r"(?:ethernet|ae|vlan|tunnel|loopback)[\d./]*$", f)), None)
        thrown = re.search(r"[.:]", fields[1]) is None  # "discard", or another virtual router
        yield fields[0], 0, None if thrown else _gateway(fields[1], interface)


def _asked(names: list[str], default: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the default table, or that of the only one. Raises ValueError where there are several others."""
    distinct = sorted(set(names))
    if len(distinct) > 1 and not set(default) & set(distinct):
        raise ValueError(f"routes of the tables {', '.join(distinct)}: give those of one")
    return default if len(distinct) != 1 else (distinct[0],)


def _vrp(text: str) -> Ranked:
    """``display ip routing-table`` of Huawei's VRP and of Comware: routes in force; further next hops stand below the first.

    A connected route's next hop is the router's own end.
    """
    mine = _asked(re.findall(VRP_TABLE, text, re.MULTILINE), ("Public", "_public_"))
    main, columns, prefix, direct = True, False, "", False
    for line in text.splitlines():
        if (heading := re.match(VRP_TABLE, line)) is not None:
            main, columns = heading[1] in mine, False
        elif re.match(VRP, line):
            columns, prefix = True, ""
        elif columns and main and len(fields := line.split()) >= 2:
            if begins := PREFIX.fullmatch(fields[0]):
                prefix, fields = fields[0], fields[1:]
            fits = len(fields) in (2, 5, 6) and _are_addresses(fields[-2])
            if begins and not fits:
                yield prefix, 0, None  # where it leads cannot be told
            elif prefix and fits:
                direct = fields[0] in ("Direct", "D") if len(fields) > 2 else direct  # some leave out all but the hop
                yield prefix, 0, hop_of(None if direct else fields[-2], fields[-1])


def _sr_os(text: str) -> Ranked:
    """``show router route-table`` of SR OS: each next hop below its prefix, which is repeated for several."""
    mine = _asked(re.findall(SR_OS_TABLE, text, re.MULTILINE), ("Router: Base",))
    main, prefix, leads = True, "", False
    for line in text.splitlines():
        if (heading := re.match(SR_OS_TABLE, line)) is not None:
            main, prefix = heading[1] in mine, ""
        elif (found := re.match(r"^([\da-fA-F.:]+/\d+)(?: ?\[[^\]]*\])? +(\w+)", line)) is not None and main:
            prefix, leads = found[1], not found[2].startswith("Blackh")
        elif prefix and line[:1] == " " and (fields := line.split()):
            hop = _gateway(fields[0], None) if re.search(r"^[\d.]+$|:", fields[0]) else hop_of(None, fields[0])
            yield prefix, 0, hop if leads and "(tunneled" not in line else None
            prefix = ""


def _open_bgpd(text: str) -> Ranked:
    """``bgpctl show rib`` of OpenBGPD: selected paths (>, and m beside it)."""
    for line in text.splitlines():
        flags, *fields = line.split() or [""]
        at = next((k for k, field in enumerate(fields[:3]) if PREFIX.fullmatch(field)), None)
        if at is None or not {">", "m"} & set(flags) or len(fields) < at + 4:
            continue
        net, gateway, _, _, *path = fields[at:]
        hop = _gateway(gateway, None)
        numbers = tuple(int(word) for word in path if is_number(word))
        yield net, 0, hop and hop._replace(as_path=numbers, protocol="bgp")


READERS: tuple[tuple[str, Callable[[str], Ranked]], ...] = (
    (LINUX, _linux),
    (LINUX_6, _linux_6),
    (f"{WINDOWS}|{WINDOWS_HEADING}", _windows),
    (VRP, _vrp),
    (SR_OS, _sr_os),
    (NET_ROUTE, _net_route),
    (ROUTER_OS, _router_os),
    (ROUTER_OS_DETAIL, _router_os_detail),
    (PAN_OS, _pan_os),
    (OPEN_BGPD, _open_bgpd),
    (BSD, _bsd),
)
