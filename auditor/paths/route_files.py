"""Readers of routing tables in files: what routers and operating systems print. Told apart by their contents."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from auditor.capture.compression import unpacked
from auditor.errors import InputError
from auditor.paths import mrt
from auditor.paths.routes import Hop, Routes
from auditor.prefixes import parse, parse_address

KNOWN = (
    "MRT TABLE_DUMP_V2, `ip -j route`, FRR's `show bgp … json` and `show ip route json`, or the text of `show ip bgp`"
)
COMMUNITY_NAMES = {"no-export": "65535:65281", "no-advertise": "65535:65282"}


def read(path: str | Path, site: str | None = None) -> Routes:
    """The routes of a file, compressed or not. Raises InputError naming the file, the place and what is wrong."""
    name = Path(path).name
    data = unpacked(Path(path))
    routes = Routes(name, site)
    try:
        if mrt.is_mrt(data):
            mrt.read(data, routes)
        elif data.lstrip()[:1] in (b"[", b"{"):
            _json(json.loads(data), routes)
        else:
            _show_ip_bgp(data.decode("utf-8", "replace"), routes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a routing table: {error}; known are {KNOWN}") from error
    if not len(routes):
        raise InputError(f"{path}: no routes are in it; known are {KNOWN}")
    return routes


def _json(data: Any, routes: Routes) -> None:
    if isinstance(data, list):
        _ip_route(data, routes)
        return
    table = data.get("routes", data)
    for prefix, told in table.items():
        paths = (
            told.get("paths") if isinstance(told, dict) else told
        )  # in `show bgp … detail json` it is a level deeper
        if "/" not in prefix or not isinstance(paths, list):
            continue
        best = [p for p in paths if _is_best(p)] or paths[:1]
        for path in best[:1]:
            routes.add(parse(prefix), _frr_hop(path))


def _is_best(path: dict[str, Any]) -> bool:
    best = path.get("bestpath", path.get("selected", False))
    return bool(best.get("overall") if isinstance(best, dict) else best)


def _frr_hop(path: dict[str, Any]) -> Hop:
    hops = [h for h in path.get("nexthops", []) if h.get("used", h.get("active", True))] or path.get("nexthops", [])
    first: dict[str, Any] = hops[0] if hops else {}
    address = first.get("ip") or path.get("nexthop")
    as_path = path.get("path", "")
    if isinstance(path.get("aspath"), dict):
        as_path = path["aspath"].get("string", "")
    told = path.get("community") or {}
    communities = (
        told.get("list") or str(told.get("string", "")).split() if isinstance(told, dict) else str(told).split()
    )
    return Hop(
        _next_hop(address) if address else None,
        first.get("interfaceName"),
        tuple(int(n) for n in re.findall(r"\d+", str(as_path))),
        tuple(sorted(_community(c) for c in communities)),
        path.get("protocol", "bgp"),
    )


def _community(text: str) -> str:
    """A community as AS:value, whatever name a router has for a well-known one (noExport, no-export)."""
    return COMMUNITY_NAMES.get(re.sub(r"(?<=[a-z])([A-Z])", r"-\1", text).lower(), text)


def _next_hop(text: str) -> tuple[int, int] | None:
    address = parse_address(text)
    return None if address in ((0, 0), (0, 0xFFFF << 32)) else address


def _ip_route(rows: list[dict[str, Any]], routes: Routes) -> None:
    """``ip -j route``, also with ``-6``, ``table all`` and ``nexthops``; of equal prefixes the lowest metric counts."""
    is_v6 = any(":" in str(row.get("dst", "")) or ":" in str(row.get("gateway", "")) for row in rows)
    best: dict[Any, tuple[int, Hop]] = {}
    for row in rows:
        told = row["dst"]
        via = row.get("via") or {}
        first = (row.get("nexthops") or [row])[0]
        address = first.get("gateway") or via.get("host")
        if told == "default":
            told = "::/0" if (":" in str(address) if address else is_v6) else "0.0.0.0/0"
        if row.get("type", "unicast") != "unicast":  # local, broadcast, blackhole …: leads nowhere
            continue
        hop = Hop(_next_hop(address) if address else None, first.get("dev"), protocol=row.get("protocol", ""))
        prefix, metric = parse(told), int(row.get("metric", 0))
        if prefix not in best or metric < best[prefix][0]:
            best[prefix] = metric, hop
    for prefix, (_, hop) in best.items():
        routes.add(prefix, hop)


LINE = re.compile(r"^(?P<status>[ *>=isdhrSRbfaxme]{1,6}?)(?P<rest>\s*\S.*)$")
NETWORK = re.compile(r"^(?:\[[^\]]*\])?(?P<net>[0-9a-fA-F:.]+(?:/\d+)?)$")


def _classful(text: str) -> str:
    """A network as `show ip bgp` shortens it: without a length where it is that of its class (RFC 791)."""
    if "/" in text or ":" in text:
        return text
    first = int(text.split(".", maxsplit=1)[0])
    if text == "0.0.0.0":
        return "0.0.0.0/0"
    return f"{text}/{8 if first < 128 else 16 if first < 192 else 24}"


def _show_ip_bgp(text: str, routes: Routes) -> None:
    """The table of Cisco, FRR and Quagga: best routes have ``>`` among the status codes in front."""
    header = re.search(r"^.*Network\s+Next ?Hop.*$", text, re.MULTILINE)
    if header is None:
        raise ValueError("the line 'Network  Next Hop …' is missing")
    column = header.group(0).index("Network")
    network = None
    status = ""
    for line in text[header.end() :].splitlines():
        if not line.strip() or not (line[0] in " *" or line[:1] in "sdhrSR"):
            continue
        codes, rest = line[:column], line[column:]
        fields = rest.split()
        if not fields:
            continue
        if codes.strip():
            status = codes
        if not rest.startswith(" "):
            found = NETWORK.match(fields[0])
            if found is None:
                continue
            network = _classful(found["net"])
            fields = fields[1:]
        if not fields or network is None or ">" not in status:
            continue  # a long network stands alone; its next hop is on the next line
        try:
            address = _next_hop(fields[0])
        except ValueError:
            continue
        as_path = _as_path(rest, fields, header.group(0)[column:])
        routes.add(parse(network), Hop(address, None, as_path, (), "bgp"))
        status = ""


def _as_path(rest: str, fields: list[str], header: str) -> tuple[int, ...]:
    """The AS path: what follows the weight, by the header's columns where the line keeps to them."""
    at = header.find("Path")
    tail = rest[at:] if 0 < at < len(rest) else " ".join(fields[-8:])
    return tuple(int(n) for n in re.findall(r"\b\d+\b", tail))


def of_prefixes(name: str, prefixes: Iterable[str], hop: Hop) -> Routes:
    """Routes that all lead the same way."""
    routes = Routes(name)
    for text in prefixes:
        try:
            routes.add(parse(text), hop)
        except ValueError:
            continue
    return routes
