"""Two signs at once, one right and one wrong: what each allows for, and what both do."""

from pathlib import Path

import pytest

import auditor
from tests import wire
from tests.lab import scenes
from tests.lab import variants as v
from tests.lab import world as w
from tests.lab.test_whole_links import (
    DIRECT,
    DX,
    HOME,
    LAN,
    MIRROR,
    NO_BACKUP,
    NOTHING,
    ROUTER,
    VIF,
    Layout,
    account,
    said,
    seen,
)
from tests.lab.world import Frame, Wire

CONFIRMED = ("direct-connect confirmed",) * 2
CORE = "02:00:00:00:00:03"
OWN = f'[[router]]\nname = "core"\nmac = ["{w.EDGE}", "{CORE}"]\n'
BETWEEN_OWN = Wire(101, CORE, w.EDGE)
NO_MAC = w.PRIVATE.replace(f'peer_mac = "{w.AWS1}"\n', "")
IPV6 = VIF | {"bgpPeers": [{"addressFamily": "ipv6", "amazonAddress": "2001:db8:ffff::1/125", "bgpStatus": "up"}]}
# A VPN on a transit gateway of which nothing says what is attached to it.
TRANSIT_VPN = {"VpnConnectionId": "vpn-1", "State": "available", "TransitGatewayId": "tgw-1"}
TUNNELS = [{"OutsideIpAddress": "52.1.2.3", "Status": "UP"}]


def point(link: str, **where: str) -> str:
    """A capture point that the owner declares to be a link's."""
    return f'[[capture_point]]\nname = "tap"\nlink = "{link}"\n' + "".join(f'{k} = "{x}"\n' for k, x in where.items())


def in_gre(
    vlan: int = 101, peer: str = w.AWS1, server: str = w.ENI, *, one_way: bool = False, back_to_front: bool = False
) -> list[Frame]:
    """A flow in GRE between a router of the site and a transit gateway; ``one_way``: copies of both directions."""
    frames = w.gre(w.talk(w.CLIENT, server, Wire(None, peer)), "10.20.0.1", "172.31.0.9")
    if one_way:
        outer = next(f for _, f in frames)[:34]
        frames = [(when, outer + f[34:]) for when, f in frames]
    macs = slice(6, 12), slice(0, 6)
    return [(when, (f[macs[0]] + f[macs[1]] if back_to_front else f[:12]) + w.tag(vlan) + f[12:]) for when, f in frames]


def advertisement(source: str) -> list[Frame]:
    """A Router Advertisement with the stranger's MAC."""
    from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, IPv6

    packet = IPv6(src=source, dst="ff02::1", hlim=255) / ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=v.STRANGER)
    return [(w.BEGIN, w.mac("33:33:00:00:00:01") + w.mac(v.STRANGER) + w.tag(101) + b"\x86\xdd" + bytes(packet))]


def vpn(**more: object) -> dict[str, object]:
    return {"VpnConnections": [TRANSIT_VPN | {"VgwTelemetry": TUNNELS} | more]}


PEER = w.PUBLIC.replace('sources = ["203.0.113.0/28"]\n', f'peer_address = "{scenes.AMAZON_PUBLIC}"\n')
PROVIDER = '[[uplink]]\nname = "provider"\npeer_address = "198.51.100.1"\n'


def spoken(side: Wire, hop: str = scenes.AMAZON_PUBLIC) -> bytes:
    """A BGP session of a virtual interface's peer on one interface, on another a flow to what it announces."""
    announced = [(1.0, w.update(["52.94.0.0/16"], hop, [7224]))]
    session = w.session(scenes.AMAZON_PUBLIC, scenes.CUSTOMER_PUBLIC, side, announced)
    ports = [session, w.talk(w.OWN_PUBLIC, w.SERVER, Wire(), at=3)]
    blocks = [wire.enhanced(f, when // 1000, port) for port, frames in enumerate(ports) for when, f in frames]
    return wire.section() + wire.interface() * 2 + b"".join(blocks)


LAYOUTS = [
    # --- tunnels that a link's frames carry
    Layout("GRE in frames of the link", in_gre(), CONFIRMED),
    Layout("GRE in frames of the link but for the last one", [*in_gre()[:-1], in_gre(peer=v.STRANGER)[-1]], NOTHING),
    Layout("GRE in frames of the link the other way than the addresses", in_gre(back_to_front=True), NOTHING),
    Layout("GRE in frames of the link, at a capture point of another", in_gre(), DIRECT, v.ALL + point("isp", file="*")),
    Layout("GRE in frames of a VPN's gateway", in_gre(300, w.VPN), ("vpn likely",) * 2, v.ALL.replace(w.BACKUP, w.BACKUP + 'prefixes = ["172.31.0.0/16"]\n')),
    Layout("GRE on its VLAN, to another MAC", in_gre(peer=v.STRANGER), NOTHING),
    Layout("GRE to its MAC, on another VLAN", in_gre(vlan=555), NOTHING),
    Layout("GRE in frames of the link, both directions one way, as mirrors send", in_gre(one_way=True), NOTHING),
    Layout("GRE in frames of the link, of two machines of the site", in_gre(server="10.20.9.9"), NOTHING),
    # --- capture points
    Layout(
        "the router's interface and the VLAN", w.on_interface(seen(Wire(101, v.STRANGER, w.EDGE)), "eth1"), CONFIRMED,
        w.SITE + NO_MAC + point("dxvif-private", interface="eth1"),
    ),
    Layout(
        "the VLAN on another interface of the router", w.on_interface(seen(Wire(101, v.STRANGER, w.EDGE)), "eth2"), DIRECT,
        w.SITE + NO_MAC + point("dxvif-private", interface="eth1"),
    ),
    Layout("VLAN and MAC, captured at the uplink", seen(DX), NOTHING, v.ALL + point("isp", file="*")),
    Layout("VLAN and MAC, at a point of each", seen(DX), CONFIRMED, v.ALL + point("isp", file="*") + point("dxvif-private", file="*").replace("tap", "port")),
    # --- the site's own routers
    Layout("the VLAN between two routers of the site", seen(BETWEEN_OWN), DIRECT, w.SITE + NO_MAC + 'prefixes = ["172.31.0.0/16"]\n' + OWN),
    Layout("the VLAN between two routers of the site, to a public server", seen(BETWEEN_OWN, server=w.SERVER), NOTHING, w.SITE + NO_MAC + OWN),
    Layout("a mirror by the own router, of another VLAN", v.mirrored(seen(Wire(555, v.STRANGER)), "10.20.9.9", Wire(None, w.EDGE)), NOTHING, v.ALL + ROUTER + MIRROR),
    Layout("a mirror by the own router", v.mirrored(seen(DX), "10.20.9.9", Wire(None, w.EDGE)), DIRECT, v.ALL + ROUTER + MIRROR),
    # --- directions
    Layout("frames of the link, both directions the other way than the addresses", seen(Wire(101, w.EDGE, w.AWS1)), NOTHING, v.ALL + ROUTER),
    Layout("a client behind the link, a server of the site", w.talk(w.ENI, w.CLIENT, Wire(101, w.EDGE, w.AWS1)), CONFIRMED, v.ALL + ROUTER),
    # --- addresses
    Layout(
        "an uplink gives a longer prefix than a virtual interface carries", seen(LAN, w.OWN_PUBLIC, w.SERVER), NOTHING,
        HOME + w.PUBLIC + w.UPLINK.replace('"isp"\n', f'"isp"\naddresses = "{w.OWN_PUBLIC}/32"\n'),
    ),
    Layout("a VPN of unknown reach beside a virtual interface", seen(LAN), ("private likely",) * 2, NO_BACKUP + ROUTER, {"a.json": vpn()}),
    Layout("a VPN of unknown reach that is down", seen(LAN), DIRECT, NO_BACKUP + ROUTER, {"a.json": vpn(VgwTelemetry=[TUNNELS[0] | {"Status": "DOWN"}])}),
    # --- BGP
    Layout("BGP on a LAN for a peer that has another MAC", spoken(Wire(None, v.STRANGER, w.EDGE)), NOTHING, HOME + PEER),
    Layout("BGP of the peer, seen without tags", spoken(Wire(None, w.AWS2, w.EDGE)), ("direct-connect likely", "unknown none"), HOME + PEER),
    Layout("BGP of the peer, whose next hop is the provider's", spoken(Wire(None, w.AWS2, w.EDGE), "198.51.100.1"), NOTHING, HOME + PEER + PROVIDER),
    # --- learned MACs
    Layout(
        "a Router Advertisement from an address that is not link-local",
        advertisement("2001:db8:ffff::1") + seen(Wire(101, v.STRANGER, w.EDGE), w.CLIENT6, w.SERVER6), DIRECT, w.SITE, account(IPV6),
    ),
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.name for layout in LAYOUTS])
def test_pair_of_signs(layout: Layout, tmp_path: Path) -> None:
    """What contradicts takes away what else would be proven, and no more than that."""
    assert said(layout, tmp_path) == layout.said


def test_a_direction_that_moved_alone(tmp_path: Path) -> None:
    """Where one direction goes on in another VLAN, its row there says that the other one was seen, and where."""
    frames = w.talk(w.CLIENT, w.ENI, DX)
    moved = [
        (t, f[:12] + w.tag(300) + f[16:]) if f[:6] == w.mac(w.EDGE) and n > 3 else (t, f)
        for n, (t, f) in enumerate(frames)
    ]
    (tmp_path / "a.pcap").write_bytes(wire.pcap(moved, nanoseconds=True))
    (tmp_path / "site.toml").write_text(v.ALL + ROUTER)
    result = auditor.audit(tmp_path / "a.pcap", topology=tmp_path / "site.toml")
    (flow,) = result.flows.query("vlan == '300'")["flow_id"]
    text = result.explain(flow)
    assert "no packet of it is in the capture" not in text
    assert "seen: no packet of it in these VLANs and tunnels, but in other ones" in text
