"""Routing tables as routers print them for people: Linux, IOS and its kin, Gaia, NX-OS, AOS-CX, Junos, BIRD.

What such a line says is used only where it is plain. A route whose next hop cannot be told leads nowhere known, and hides
shorter ones: nothing is claimed of what it covers.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from auditor.border.words import is_number
from auditor.paths.route_vrfs import Entry, of_default
from auditor.paths.routes import Hop
from auditor.prefixes import parse_address

ADDRESS = r"[0-9a-fA-F]*[.:][0-9a-fA-F.:]*"
IP_ROUTE = re.compile(
    rf"^(?:(?P<type>unicast|local|broadcast|multicast|throw|unreachable|prohibit|blackhole|anycast) )?"
    rf"(?P<dst>default|{ADDRESS}(?:/\d+)?)(?= +(?:via|dev|nhid|proto|scope|table|metric|src|tos|from|encap)\b| *$)(?P<rest>.*)$"
)
PROMPT = re.compile(r"^[^\s#$%>]*[#$%>] *(?:(?:sudo )?ip .*)?$")  # of a shell, with the command or without
VALUED = ("dev", "metric", "table", "proto", "from", "tos")  # of what else ip route says, that decides here
CODE = r"[A-Za-z0-9*>%+&~!]{1,6}"
IOS_ROUTE = re.compile(
    rf"^ ?(?P<codes>(?=[A-Za-z>*]){CODE}(?: {{1,9}}{CODE}){{0,3}}?) +"
    rf"(?P<net>{ADDRESS}(?:/\d+)?|\S+(?= +\d+(?:\.\d+){{3}} +(?:\[|is )))"  # ASA prints a name that it has instead
    r"(?: +(?P<mask>\d+\.\d+\.\d+\.\d+))?(?P<rest>\s+(?:\[|is |unreachable|connected ).*|\s*)$"
)
SUBNETTED = re.compile(r"^\s+(?P<net>[\d.]+)/(?P<bits>\d+) is subnetted")
MORE = re.compile(r"^[ *>]*(?:\[\d+(?:/\d+)?\] *)?(?:via |(?:is )?directly connected)")
VIA = re.compile(
    rf"\bvia +(?P<address>{ADDRESS})(?:%(?P<nxos>[^\s,]+)| \((?P<ios>[^\s:()]+)(?::ipv[46])?\)(?=,|$)|.*\((?:nexthop in )?vrf (?P<frr>\S+)\))?"
)
CONNECTED = re.compile(
    r"\bdirectly connected,(?: [\dwdhms:.]+,)? (?P<interface>[^\s,]+)"
    r"|\bvia (?P<first>[^\s,]+)(?:, (?:directly connected|receive)| tunnel )"  # IOS's IPv6; FortiOS's tunnels
)
# ASA's second default route, of what came out of tunnels alone; IOS XR's next hops of which the first must fail.
TUNNELED, BACKUP = re.compile(r"\btunneled$"), "(!)"
GAIA = r"^ +A - Aggregate, K - Kernel Remnant"
GAIA_ROUTE = re.compile(rf"^[A-Z](?P<flags>(?: +[A-Za-z]{{1,2}})*) +(?P<net>{ADDRESS}/\d+)(?= )")
GAIA_HOP = re.compile(
    rf"(?:\bvia (?P<address>{ADDRESS})(?:, (?P<interface>[^\s,]+))?|is directly connected, (?P<connected>[^\s,]+))"
)
NXOS_INTERFACE = re.compile(r"via (?:[^\s,]+, )?(?P<name>[A-Za-z][^\s,]*\d[^\s,]*), \[")
OWN = re.compile(r", (?:direct|local|hsrp|vrrp)\b")
NXOS_ROUTE = re.compile(r"^(?P<net>\S+/\d+), ubest/mbest: ")
AOS_CX_HEADER = r"^Prefix +Nexthop +Interface +VRF\(egress\)"
AOS_CX_ROUTE = re.compile(rf"^(?P<net>{ADDRESS}/\d+), vrf (?P<vrf>\S+)$")
AOS_CX_HOP = re.compile(r"^\s+via +(?P<hop>[^\s,]+), +\[")
JUNOS_NET = re.compile(r"^(?P<net>[\da-fA-F.:]+/\d+)(?=\s+[*+-]?\[|$)")  # a long one stands alone on its line
JUNOS_ROUTE = re.compile(r"\s(?P<mark>[*+-]?)\[[A-Z]")
BIRD_ROUTE = re.compile(
    r"^(?P<net>\S+/\d+)?\s+(?P<rest>(?:unicast|blackhole|unreachable|prohibit|via \S+ on|dev|multipath)\b.*\[.*)$"
)
BIRD_HOP = re.compile(rf"\bvia (?P<address>{ADDRESS}) on (?P<interface>[^\s\[]+)|\bdev (?P<dev>[^\s\[]+)")
UNSPECIFIED = parse_address("0.0.0.0"), parse_address("::")
PLAIN_AS_LINUX = "unicast"
AS_LINUX = "write each route as `PREFIX via ADDRESS dev INTERFACE`, as `ip route` does"
# Texts without a reader, by a line of theirs, and what to give instead.
REFUSED = (
    (r"^ *Routing entry for ", "the details of single routes: give what `show ip route` prints"),
    (r"^A (?:V )?Destination +P Prf", "`show route terse` of Junos: give what `show route` prints"),
    (r"^\S+/\d+ \(\d+ entr(?:y|ies), \d+ announced\)", "the details of Junos: give what `show route` prints"),
    (r"^ *Destination *: \S+", f"the details of VRP: give what `display ip routing-table` prints, or {AS_LINUX}"),
    (r"^ *destination +protocol +nexthop\b", f"of PAN-OS's advanced routing: {AS_LINUX}"),
    (r"^ *Destination +Gateway +(?:VLAN|Port|Dist/Metric)\b", f"of ProCurve, IronWare or Dell: {AS_LINUX}"),
    (r"^ *Ori +Destination +Gateway\b", f"of ExtremeXOS: {AS_LINUX}"),
    (r"^ *Prefix +Next-?hop\b", f"a list of prefixes: {AS_LINUX}"),
    (r"^ *ID +IP-Prefix +Interface +Gateway\b", f"of ScreenOS: {AS_LINUX}"),
)


def entries(text: str) -> Iterator[Entry] | None:
    """The routes of a text, or None where it is none of these."""
    for sign, reader in READERS:
        if re.search(sign, text, re.MULTILINE):
            return of_default(text, reader)
    return None


def refuse(text: str) -> None:
    """Raise ValueError with what to give instead of a known text that has no reader."""
    for sign, instead in REFUSED:
        if re.search(sign, text, re.MULTILINE | re.IGNORECASE):
            raise ValueError(f"this is {instead}")


def ip_route(text: str) -> list[dict[str, Any]] | None:
    """The rows that ``ip -j route`` gives for what ``ip route`` prints; None where it is not that."""
    rows: list[dict[str, Any]] = []
    for line in text.splitlines():
        if not line.strip() or PROMPT.match(line) is not None:
            continue
        if line[:1].isspace() and rows and line.strip().startswith("nexthop "):
            rows[-1].setdefault("nexthops", []).append(_words(line))
            continue
        found = IP_ROUTE.match(line.rstrip())
        if found is None:
            return None
        row = {"dst": found["dst"], "type": found["type"] or PLAIN_AS_LINUX, **_words(found["rest"])}
        hops = found["rest"].split(" nexthop ")[1:]
        rows.append(row | ({"nexthops": [_words(hop) for hop in hops]} if hops else {}))
    return rows or None


def _words(text: str) -> dict[str, Any]:
    """What words of ``ip route`` say of a route or a next hop."""
    words = text.split(" nexthop ", maxsplit=1)[0].split()
    said: dict[str, Any] = {"flags": [word for word in words if word in ("dead", "linkdown", "unresolved")]}
    for word, value in pairwise(words):
        if word == "via" and value in ("inet", "inet6"):
            said["via"] = {"family": value, "host": words[words.index("via") + 2]}
        elif word == "via":
            said["gateway"] = value
        elif word in VALUED:
            said["protocol" if word == "proto" else word] = (
                int(value) if word == "metric" and is_number(value) else value
            )
    return said


def hop_of(address: str | None, interface: str | None = None) -> Hop | None:
    """A next hop; None where packets are thrown away or it cannot be told. An unspecified address is none."""
    if interface is not None and interface.lower().startswith(("null", "discard", "blackhole")):
        return None
    try:
        found = parse_address(address) if address else None
    except ValueError:
        return None
    return Hop(None if found in UNSPECIFIED else found, interface)


def _ios(lines: Iterable[str], mark: str = "") -> Iterator[Entry]:
    """``show ip route`` of IOS, IOS XE, IOS XR, EOS, FortiOS, FRR and Quagga, ASA's ``show route``: what stands there is in force.

    FRR and Quagga list all routes, and mark the selected with ``>``, and each next hop in the kernel's table with ``*``; Eltex's
    ESR marks the latter alone.
    EOS has the next hops of a route on lines below it.
    """
    bits, entry, used = "", ("", list[Hop]()), False
    for line in lines:
        found = IOS_ROUTE.match(line)
        if (subnets := SUBNETTED.match(line)) is not None:
            bits = subnets["bits"]
            continue
        if found is not None:
            if used:
                yield entry
            net = found["net"] if "/" in found["net"] else f"{found['net']}/{found['mask'] or bits}"  # ASA: a mask
            used = mark in found["codes"] and "subnetted" not in found["rest"] and not net.endswith("/")
            entry = (net, [])
        elif not MORE.match(line):
            continue
        codes = found["codes"] if found is not None else line[: len(line) - len(line.lstrip(" *>"))]
        hop = _ios_hop(line)
        used = used and TUNNELED.search(line) is None
        if hop is not None and ("*" in codes or not mark) and "inactive" not in line and BACKUP not in line:
            entry[1].append(hop)
    if used:
        yield entry


def _ios_hop(line: str) -> Hop | None:
    connected, via = CONNECTED.search(line), VIA.search(line)
    if via is not None:
        return _in_vrf(via)
    return hop_of(None, connected["interface"] or connected["first"]) if connected is not None else None


def _in_vrf(via: re.Match[str], interface: str | None = None) -> Hop | None:
    """A next hop; one that another VRF's table knows (NX-OS: %NAME, IOS: (NAME), FRR and XR: (… vrf NAME)) is not looked up in this one."""
    vrf = via["nxos"] or via["ios"] or via["frr"] or "default"
    return hop_of(via["address"], interface if vrf == "default" else f"VRF {vrf}")


def _gaia(lines: Iterable[str]) -> Iterator[Entry]:
    """``show route`` of Check Point's Gaia: next hops behind "via", also on lines below; hidden and inactive routes are marked."""
    entry: Entry | None = None
    for line in lines:
        found = GAIA_ROUTE.match(line)
        if found is not None:
            if entry is not None:
                yield entry
            entry = None if set(found["flags"].split()) & set("HPUi") else (found["net"], [])
        via = GAIA_HOP.search(line) if entry is not None else None
        if entry is not None and via is not None:
            hop = hop_of(via["address"], via["interface"] or via["connected"])
            entry[1].extend([hop] if hop is not None else [])
    if entry is not None:
        yield entry


def _nxos(lines: Iterable[str]) -> Iterator[Entry]:
    """``show ip route`` of NX-OS: of the lines below a prefix those with ``*via`` are the best."""
    entry: Entry | None = None
    for line in lines:
        found = NXOS_ROUTE.match(line)
        if found is not None:
            if entry is not None:
                yield entry
            entry = found["net"], []
        elif entry is not None and line.strip().startswith("*via "):
            via, interface = VIA.search(line), NXOS_INTERFACE.search(line)
            name = interface["name"] if interface is not None else None
            # The next hop of a connected network is the router's own end.
            hop = _in_vrf(via, name) if via is not None and not OWN.search(line) else hop_of(None, name)
            entry[1].extend([hop] if hop is not None and hop != Hop() else [])
    if entry is not None:
        yield entry


def _aos_cx(lines: Iterable[str]) -> Iterator[Entry]:
    """``show ip route`` of Aruba's AOS-CX, ``all-vrfs`` too: what stands there is in force, each with the name of its VRF."""
    by_vrf: dict[str, list[Entry]] = {}
    for line in lines:
        if (found := AOS_CX_ROUTE.match(line)) is not None:
            by_vrf.setdefault(found["vrf"], []).append((found["net"], []))
            hops = by_vrf[found["vrf"]][-1][1]
        elif by_vrf and (via := AOS_CX_HOP.match(line)) is not None:
            is_address = re.fullmatch(ADDRESS, via["hop"]) is not None
            hop = hop_of(via["hop"]) if is_address else hop_of(None, via["hop"]) if via["hop"][-1].isdigit() else None
            hops += [hop] if hop is not None else []
    if len(by_vrf) > 1 and "default" not in by_vrf:
        raise ValueError(f"routes of the VRFs {', '.join(sorted(by_vrf))}: give those of one")
    yield from by_vrf.get("default") or next(iter(by_vrf.values()), [])


def _aos_cx_table(lines: Iterable[str]) -> Iterator[Entry]:
    """The same as newer releases print it: in columns, further next hops of a prefix below the first."""
    at: list[int] = []
    entry: Entry | None = None
    for line in lines:
        if re.match(AOS_CX_HEADER, line) is not None:
            at = [line.index(name) for name in ("Nexthop", "Interface", "VRF(egress)")]
        elif at and re.match(rf"(?:{ADDRESS}/\d+)? +\S", line) is not None:
            if line[0] != " ":
                if entry is not None:
                    yield entry
                entry = line.split(maxsplit=1)[0], []
            address, interface, vrf = ("".join(line[start:].split(maxsplit=1)[:1]) for start in at)
            if entry is not None and re.match(r" +Type ", line) is None:
                elsewhere = f"VRF {vrf}" if vrf not in ("-", "default") and address != "-" else interface
                hop = hop_of(None if address == "-" else address, elsewhere)
                entry[1].extend([hop] if hop is not None else [])
    if entry is not None:
        yield entry


def _junos(lines: Iterable[str]) -> Iterator[Entry]:
    """``show route`` of Junos: a prefix's active route has ``*`` or ``+``; others stand below it."""
    entry: Entry | None = None
    active = False
    for line in lines:
        if (net := JUNOS_NET.match(line)) is not None:
            if entry is not None:
                yield entry
            entry, active = (net["net"], []), False
        if (found := JUNOS_ROUTE.search(line)) is not None:
            active = found["mark"] in ("*", "+")
        elif entry is not None and active and " via " in line:
            to = re.search(rf"\bto (?P<address>{ADDRESS}) via (?P<interface>[^\s,]+)", line)
            hop = (
                hop_of(to["address"], to["interface"])
                if to
                else hop_of(None, line.split(" via ")[1].split()[0].strip(","))
            )
            entry[1].extend([hop] if hop is not None else [])
    if entry is not None:
        yield entry


def _bird(lines: Iterable[str]) -> Iterator[Entry]:
    """``show route`` of BIRD 1 and 2: a prefix's preferred route has ``*`` behind what it is from."""
    entry: Entry | None = None
    preferred = False
    for line in lines:
        found = BIRD_ROUTE.match(line)
        if found is not None:
            if found["net"] is not None:
                if entry is not None:
                    yield entry
                entry = found["net"], []
            preferred = re.search(r"\] \* ", line) is not None  # OSPF's have their kind behind it
        hop = BIRD_HOP.search(line)
        if entry is not None and preferred and hop is not None:
            one = hop_of(hop["address"], hop["interface"] or hop["dev"])
            entry[1].extend([one] if one is not None else [])
    if entry is not None:
        yield entry


READERS: tuple[tuple[str, Callable[[Iterable[str]], Iterator[Entry]]], ...] = (
    (r", ubest/mbest: ", _nxos),
    (GAIA, _gaia),
    (AOS_CX_HEADER, _aos_cx_table),
    (rf"^{ADDRESS}/\d+, vrf \S+\s*$", _aos_cx),
    (r"^\S*inet6?\.0: \d+ destinations", _junos),
    (r"^(?:BIRD \S+ ready|Table \S+:\s*$)", _bird),
    ("> - selected route", partial(_ios, mark=">")),
    (r"\* - FIB route", partial(_ios, mark="*")),
    (r"^(?:Codes: |Gateway of last resort|Routing table for VRF=)", _ios),
)
