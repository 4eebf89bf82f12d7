"""For any layout and any packets that an outsider can send: no direction is confirmed for a path that it did not take."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab import protocols as p
from tests.lab import variants as v
from tests.lab import world as w
from tests.lab.test_variants import wrong
from tests.lab.world import Frame, Wire

ADDRESSES = st.sampled_from(
    [v.AMAZON, v.CUSTOMER, w.CLIENT, w.ENI, w.SERVER, "10.20.9.9", "198.51.100.66", "172.31.9.9"]
)
MACS = st.sampled_from(
    [w.AWS1, w.AWS2, w.ISP, w.VPN, w.EDGE, w.HOST, v.STRANGER, "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"]
)
V6_ADDRESSES = st.sampled_from(["2001:db8:ffff::1", "fe80::1", "fe80::66"])
# Where an outsider is: behind the uplink, or a machine on a LAN that is none of the links' networks.
PLACES = st.sampled_from([v.INTERNET, v.LAN, Wire(9, "02:ee:00:00:00:66", w.EDGE)])
HEADERS = st.sampled_from(
    [(v.VXLAN_HEADER, 4789), (v.TZSP_HEADER, 37008), (v.GENEVE_HEADER, 6081), (v.GWLB_HEADER, 6081)]
)
INSIDE = st.builds(Wire, st.sampled_from([None, 101, 102, 200, 300, (200, 101)]), MACS, MACS)
MADE_UP = st.builds(
    lambda client, server, side: w.talk(client, server, side, port=v.FORGED),
    st.sampled_from([w.CLIENT, w.OWN_PUBLIC, "172.31.1.1"]),
    st.sampled_from([w.ENI, w.SERVER, "203.0.113.200"]),
    INSIDE,
)


def _arp(address: str, mac: str, at: Wire, asker: str) -> list[Frame]:
    return [w.arp(address, mac, at.vlan if isinstance(at.vlan, int) else None, asker=asker)]


def _neighbour(address: str, mac: str, at: Wire) -> list[Frame]:
    return [w.neighbour(address, mac, at.vlan if isinstance(at.vlan, int) else 9)]


def _tunnelled(frames: list[Frame], header: tuple[bytes, int], source: str, at: Wire) -> list[Frame]:
    return v.in_datagrams(frames, *header, source, at)


SENT = st.one_of(
    st.builds(_arp, ADDRESSES, MACS, PLACES, ADDRESSES),
    st.builds(_neighbour, V6_ADDRESSES, MACS, PLACES),
    st.builds(_tunnelled, MADE_UP, HEADERS, ADDRESSES.filter(lambda a: ":" not in a), PLACES),
    st.builds(_tunnelled, st.builds(_arp, ADDRESSES, MACS, INSIDE, ADDRESSES), HEADERS, ADDRESSES, PLACES),
    st.builds(v.mirrored, MADE_UP, ADDRESSES, PLACES),
    st.builds(v.one_sided_session, PLACES),
    st.builds(lambda build, *about: build(*about), st.sampled_from([*p.PROTOCOLS.values()]), ADDRESSES, MACS, PLACES),
    st.builds(p.nested, MADE_UP, st.sampled_from([*p.HEADS.values()]), PLACES),
)
TOPOLOGIES = st.sampled_from([v.ALL, v.ALL.replace(f'peer_mac = "{w.AWS1}"\n', ""), w.SITE + v.VPC])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.sampled_from(v.LAYOUTS), sent=st.lists(SENT, min_size=1, max_size=4), topology=TOPOLOGIES)
def test_no_outsider_makes_anything_wrong(at: v.Layout, sent: list[list[Frame]], topology: str) -> None:
    """Whatever outsiders send beside a flow, and however they mix it: nothing is said that is not true."""
    frames = [*at.frames(), *(frame for some in sent for frame in some)]
    variant = v.Variant("", frames, topology, {40_000: at.path, v.FORGED: None})
    with tempfile.TemporaryDirectory() as folder:
        assert not wrong(variant, Path(folder))
