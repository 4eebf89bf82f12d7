"""Routing tables as JSON of Arista's EOS, GoBGP and OpenBGPD; FRR's and Linux's are in `route_files.py`."""

from collections.abc import Callable, Iterator
from typing import Any

from auditor.border import rows
from auditor.border.words import is_number
from auditor.paths.route_texts import hop_of
from auditor.paths.route_vrfs import DEFAULT_NAMES, Entry
from auditor.paths.routes import Hop

AS_PATH, NEXT_HOP, COMMUNITIES, MP_REACH = 2, 3, 8, 14  # RFC 4271 5.1, RFC 1997, RFC 4760
# JSON that other systems write, by a member of the outermost object, and what to give instead.
REFUSED = {
    "RouteTables": "what `aws ec2 describe-route-tables` prints, of VPCs: give the routes of a router of your own",
    "virtualInterfaceId": "what `aws directconnect list-virtual-interface-routes` prints: give it with --aws",
    "TABLE_vrf": "`show ip route | json` of NX-OS: give what `show ip route` prints",
    "route-information": "`show route | display json` of Junos: give what `show route` prints",
}


def entries(data: Any) -> Iterator[Entry] | None:
    """The routes of what one of these systems writes; None where it is none of them. Raises ValueError naming others."""
    if isinstance(data, dict) and len(wrapped := rows.member(data, "result", list)) == 1:  # EOS's eAPI
        data = wrapped[0]
    if not isinstance(data, dict):
        return None
    for member, instead in REFUSED.items():
        if member in data:
            raise ValueError(f"this is {instead}")
    return next((reader(data) for fits, reader in READERS if fits(data)), None)


def _is_eos(data: dict[str, Any]) -> bool:
    return isinstance(data.get("vrfs"), dict)


def _eos(data: dict[str, Any]) -> Iterator[Entry]:
    """``show ip route | json`` and ``show ipv6 route | json`` of EOS: what is in the hardware."""
    by_name = {name: vrf for name, vrf in rows.member(data, "vrfs", dict).items() if isinstance(vrf, dict)}
    mine = [vrf for name, vrf in by_name.items() if name in DEFAULT_NAMES] or list(by_name.values())
    if len(mine) > 1:
        raise ValueError(f"routes of the VRFs {', '.join(sorted(by_name))}: give those of one")
    for vrf in mine:
        for prefix, route in rows.member(vrf, "routes", dict).items():
            leads = rows.member(route, "routeAction", str) in ("", "forward")
            vias = rows.objects(route, "vias") if leads else []
            hops = (hop_of(via.get("nexthopAddr") or None, via.get("interface") or None) for via in vias)
            yield prefix, [hop for hop in hops if hop is not None]


def _is_gobgp(data: dict[str, Any]) -> bool:
    paths = next((paths for paths in data.values() if isinstance(paths, list) and paths), [None])
    return isinstance(paths[0], dict) and "attrs" in paths[0]


def _gobgp(data: dict[str, Any]) -> Iterator[Entry]:
    """``gobgp global rib -j``: the best path of each prefix."""
    for prefix in data:
        for path in rows.objects(data, prefix):
            if path.get("best"):
                hop = _gobgp_hop(rows.objects(path, "attrs"))
                yield prefix, [hop] if hop is not None else []


def _gobgp_hop(attributes: list[dict[str, Any]]) -> Hop | None:
    address, numbers, tags = None, list[int](), list[str]()
    for attribute in attributes:
        kind = attribute.get("type")
        if kind in (NEXT_HOP, MP_REACH):
            address = rows.member(attribute, "nexthop", str) or address
        elif kind == AS_PATH:
            for segment in rows.objects(attribute, "as_paths"):
                numbers += [rows.whole(number, 0, 0xFFFFFFFF) for number in rows.member(segment, "asns", list)]
        elif kind == COMMUNITIES:
            values = [rows.whole(c, 0, 0xFFFFFFFF) for c in rows.member(attribute, "communities", list)]
            tags += [f"{value >> 16}:{value & 0xFFFF}" for value in values]
    hop = hop_of(address) if address else None
    return hop and hop._replace(as_path=tuple(numbers), communities=tuple(sorted(tags)), protocol="bgp")


def _is_openbgpd(data: dict[str, Any]) -> bool:
    return isinstance(data.get("rib"), list)


def _openbgpd(data: dict[str, Any]) -> Iterator[Entry]:
    """``bgpctl -j show rib`` of OpenBGPD: the best path of each prefix."""
    for path in rows.objects(data, "rib"):
        if path.get("best") and path.get("valid", True):
            address = rows.member(path, "true_nexthop", str) or rows.member(path, "exit_nexthop", str)
            hop = hop_of(address) if address else None
            numbers = tuple(int(word) for word in rows.member(path, "aspath", str).split() if is_number(word))
            tags = tuple(sorted(str(c) for c in rows.member(path, "communities", list)))
            one = hop and hop._replace(as_path=numbers, communities=tags, protocol="bgp")
            yield rows.text(path["prefix"]), [one] if one is not None else []


READERS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], Iterator[Entry]]], ...] = (
    (_is_eos, _eos),
    (_is_openbgpd, _openbgpd),
    (_is_gobgp, _gobgp),
)
