"""Flows: who is the client, when a flow begins and ends, and streams put in order whatever TCP does to them."""

import itertools
from typing import Any

import numpy as np
import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR

from auditor.capture.beginnings import PCAP
from auditor.capture.pcap import ANY_FRACTION
from auditor.capture.pcapng import INTERFACE
from auditor.decode.layers import ETHERNET
from auditor.decode.packet import RECENT_PACKET
from auditor.flows import room
from auditor.flows import state as S
from auditor.flows.exchange import ANSWER as ANSWER_ROW
from auditor.flows.keyed import KEYS
from auditor.flows.room import make_room, new_state
from auditor.reading import scan
from tests import wire

HELLO = wire.record(22, wire.client_hello(extensions=wire.extension(21, bytes(3000))), 0x0301)
ANSWER = wire.record(22, wire.server_hello())


def shaken(result: Any) -> dict[str, Any]:
    return wire.only(result.handshakes)


def test_client_is_who_sent_the_syn_not_the_higher_port(audit_bytes: Any) -> None:
    """A client on a low port is still the client."""
    flow = wire.only(audit_bytes(wire.pcap(wire.Talk(sport=22, dport=50_000).open().packets)).flows)
    assert (flow["client_port"], flow["server_port"]) == (22, 50_000)


def test_client_is_who_sent_the_client_hello_without_a_syn(audit_bytes: Any) -> None:
    """In a capture that begins in the middle, the ClientHello says who is the client."""
    talk = wire.Talk(sport=443, dport=40_000)
    talk.send(1, b"", "A")
    talk.send(0, HELLO[:1400])
    talk.send(0, HELLO[1400:])
    flow = wire.only(audit_bytes(wire.pcap(talk.packets)).flows)
    assert flow["client_port"] == 443


@pytest.mark.parametrize(
    ("mine", "its", "is_server_by_port"),
    [
        (50_000, 443, True),
        (1024, 1023, True),
        (32_768, 8443, True),
        (20_000, 8443, False),
        (50_000, 50_051, False),
        (443, 443, False),
    ],
)
@pytest.mark.parametrize("first", ["c", "s"])
def test_client_of_a_connection_that_was_there_before(
    audit_bytes: Any, mine: int, its: int, is_server_by_port: bool, first: str
) -> None:
    """Where the capture begins in the middle ports tell the server, whoever sent first; else the first sender is the client."""
    talk = wire.Talk(mine, its, client="10.20.1.5", server="52.46.128.10").open()
    begun = len(talk.packets)
    talk.play([(side, wire.record(23, bytes(80))) for side in (first, "s" if first == "c" else "c")])
    flow = wire.only(audit_bytes(wire.pcap(talk.packets[begun:])).flows)
    is_turned = first == "s" and not is_server_by_port
    ends = [("10.20.1.5", mine), ("52.46.128.10", its)]
    assert [(flow["client_ip"], flow["client_port"]), (flow["server_ip"], flow["server_port"])] == ends[
        :: -1 if is_turned else 1
    ]
    assert flow["aws_endpoint"] == (not is_turned)


def test_client_of_datagrams_without_a_question(audit_bytes: Any) -> None:
    """An answer from a system port is its server's; other ports of datagrams tell nothing."""
    for port, client in ((123, "10.0.0.1"), (8000, "192.0.2.10")):
        answer = wire.datagram(bytes(48), port, 50_000, client=wire.SERVER, server=wire.CLIENT)
        assert wire.only(audit_bytes(wire.pcap([answer])).flows)["client_ip"] == client


def test_orders_of_segments(audit_bytes: Any) -> None:
    """A ClientHello in four segments is read in every order they may come in."""
    cuts = [0, 700, 1500, 2500, len(HELLO)]
    expected = None
    for order in itertools.permutations(range(4)):
        talk = wire.Talk().open()
        first = talk.next[0]
        for k in order:
            talk.send(0, HELLO[cuts[k] : cuts[k + 1]], at=first + cuts[k])
        row = shaken(audit_bytes(wire.pcap(talk.packets)))
        expected = expected or row["ja4"]
        assert (row["status"], row["ja4"], row["client_hello_segments"]) == ("client_only", expected, 4)


@pytest.mark.parametrize("with_syn", [True, False])
def test_overlaps_and_retransmissions(audit_bytes: Any, with_syn: bool) -> None:
    """What was there first stays; repeated and overlapping segments add only what is new."""
    talk = wire.Talk()
    if with_syn:
        talk.open()
    first = talk.next[0]
    talk.send(0, HELLO[:1000], at=first)
    talk.send(0, b"\0" * 500 + HELLO[1000:1400], at=first + 500)  # other bytes in the part that is there already
    talk.send(0, HELLO[:1000], at=first)
    talk.send(0, HELLO[2000:], at=first + 2000)
    talk.send(0, HELLO[1300:2100], at=first + 1300)
    assert shaken(audit_bytes(wire.pcap(talk.packets)))["server_name"] == "pinpoint.us-east-1.amazonaws.com"


def test_sequence_numbers_wrap(audit_bytes: Any) -> None:
    """A stream that passes 2^32 in the middle of its hello is one stream."""
    talk = wire.Talk(isn=(2**32 - 1000, 2**32 - 3)).open().play([("c", HELLO), ("s", ANSWER)])
    assert shaken(audit_bytes(wire.pcap(talk.packets)))["status"] == "complete"


def test_missing_segment_is_reported(audit_bytes: Any) -> None:
    """A hello with a hole is truncated, never a guess."""
    talk = wire.Talk().open()
    first = talk.next[0]
    talk.send(0, HELLO[:1000], at=first)
    talk.send(0, HELLO[2000:], at=first + 2000)
    row = shaken(audit_bytes(wire.pcap(talk.packets)))
    assert (row["status"], row["status_reason"]) == (
        "truncated",
        "ClientHello: the capture has only its first 995 bytes",
    )


def test_overtaken_first_segment_without_a_syn(audit_bytes: Any) -> None:
    """Without a SYN, a segment that comes late still finds its place in front."""
    talk = wire.Talk()
    first = talk.next[0]
    talk.send(0, HELLO[1200:], at=first + 1200)
    talk.send(0, HELLO[:1200], at=first)
    assert shaken(audit_bytes(wire.pcap(talk.packets)))["status"] == "client_only"


@pytest.mark.parametrize("side", [0, 1])
def test_one_direction_only(audit_bytes: Any, side: int) -> None:
    """A capture of one direction shows that direction's hello, and says that the other is missing."""
    talk = wire.Talk().open().play([("c", HELLO), ("s", ANSWER)])
    source = bytes(map(int, talk.ends[side].split(".")))
    packets = [p for p in talk.packets if p[26:30] == source]
    row = shaken(audit_bytes(wire.pcap(packets)))
    assert row["status"] == ["client_only", "server_only"][side]


def test_port_reuse_is_another_flow(audit_bytes: Any) -> None:
    """After FIN, after RST, and by a new SYN, the same ports begin another row."""
    talk = wire.Talk().open().close()
    talk.next = [50_000, 60_000]
    talk.open()
    talk.send(1, flags="R")
    talk.next = [150_000, 160_000]
    talk.open()
    talk.next = [250_000, 260_000]
    talk.open()
    states = list(audit_bytes(wire.pcap(talk.packets)).flows["tcp_state"])
    assert states == ["SF", "RSTR", "S1", "S1"]


def test_retransmitted_syn_is_the_same_flow(audit_bytes: Any) -> None:
    """The same SYN again is no other connection, and neither is a SYN that comes after its answer."""
    talk = wire.Talk()
    syn = talk.send(0, flags="S")
    answer = talk.send(1, flags="SA")
    assert wire.only(audit_bytes(wire.pcap([syn, syn, answer])).flows)["tcp_state"] == "S1"
    assert wire.only(audit_bytes(wire.pcap([answer, syn])).flows)["client_port"] == 40_000


@pytest.mark.parametrize(
    ("seconds", "kind", "rows"),
    [(59, "udp", 1), (61, "udp", 2), (299, "tcp", 1), (301, "tcp", 2), (9, "dns", 1), (11, "dns", 2)],
)
def test_idle_flows_end(audit_bytes: Any, seconds: int, kind: str, rows: int) -> None:
    """UDP flows end after a minute, DNS over it after ten seconds, TCP flows after five minutes, as in Zeek."""
    query = bytes(DNS(rd=1, qd=DNSQR(qname="pinpoint.us-east-1.amazonaws.com")))
    one = wire.Talk().open().send(0, b"\0\1") if kind == "tcp" else wire.datagram(b"\0\1" if kind == "udp" else query)
    start, fill = 1_700_000_000 * wire.SECOND, wire.datagram(b"\0", sport=9)
    packets: list[Any] = [(start, one)]
    packets += [
        (start + (seconds - 1) * wire.SECOND + k, fill) for k in range(9000)
    ]  # so that idle flows are looked for
    packets += [(start + seconds * wire.SECOND, fill)] * 9000 + [(start + seconds * wire.SECOND, one)]
    flows = audit_bytes(wire.pcap(packets)).flows
    assert (flows["client_port"] != 9).sum() == rows


def test_a_clock_that_goes_back_loses_nothing(audit_bytes: Any) -> None:
    """Captures put one after the other, times going back by days: flows are not ended early."""
    talk = wire.Talk().open().play([("c", HELLO), ("s", ANSWER)])
    later = 1_800_000_000 * wire.SECOND
    packets: list[Any] = [(later + k, wire.datagram(b"\0", sport=9)) for k in range(9000)]
    packets += [(1_700_000_000 * wire.SECOND + k * 1000, p) for k, p in enumerate(talk.packets)]
    packets += [(1_700_000_001 * wire.SECOND + k, wire.datagram(b"\0", sport=9)) for k in range(9000)]
    assert shaken(audit_bytes(wire.pcap(packets)))["status"] == "complete"


def test_asymmetric_way_and_a_routers_two_sides_are_one_flow(audit_bytes: Any) -> None:
    """Out in one VLAN and back in another is one flow; so are packets seen on both sides of a router, each counted once."""

    def tagged(packet: bytes, vlan: int) -> bytes:
        return packet[:12] + b"\x81\0" + vlan.to_bytes(2, "big") + packet[12:]

    packets = wire.Talk().open().packets
    there = [tagged(p, 101 if p[26:30] == bytes([10, 0, 0, 1]) else 200) for p in packets]
    assert len(audit_bytes(wire.pcap(there)).flows) == 1
    twice = [q for p in packets for q in (tagged(p, 10), tagged(p, 20))]
    flows = audit_bytes(wire.pcap(twice)).flows
    assert list(flows["vlan"]) == ["10"]
    assert list(flows["client_packets"]) == [2]


def test_round_trip_time(audit_bytes: Any) -> None:
    """The TCP handshake's time, from SYN to ACK."""
    packets = [(1_700_000_000 * wire.SECOND + k * 20_000_000, p) for k, p in enumerate(wire.Talk().open().packets)]
    assert wire.only(audit_bytes(wire.pcap(packets)).flows)["rtt_ms"] == pytest.approx(40)


def test_many_flows_make_room(audit_bytes: Any) -> None:
    """More flows at one time than there was room for at first: none is lost, none is seen twice."""
    packets = [wire.Talk(sport=1024 + k % 60_000, server=f"192.0.2.{k % 200}").send(0, flags="S") for k in range(5000)]
    assert len(audit_bytes(wire.pcap(packets)).flows) == 5000


def test_streams_give_back_their_memory(audit_bytes: Any) -> None:
    """Three hundred unfinished hellos at one time need more streams and chunks; growing keeps what is there."""
    talks = [wire.Talk(sport=2000 + k).open() for k in range(600)]
    for talk in talks:
        talk.send(0, HELLO[:1400])
    for talk in talks:
        talk.send(0, HELLO[1400:])
    packets = [p for talk in talks for p in talk.packets[:4]] + [talk.packets[4] for talk in talks]
    result = audit_bytes(wire.pcap(packets))
    assert list(result.handshakes["status"].unique()) == ["client_only"]
    assert len(result.handshakes) == 600


def test_dns_names_the_server(audit_bytes: Any) -> None:
    """An answer seen in the capture names a server that says no name itself, for the client that asked."""
    name = "sms-voice.us-west-2.amazonaws.com"
    answer = DNS(qr=1, ra=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, rdata=wire.SERVER))
    packets = [wire.datagram(bytes(answer), sport=53, dport=6000, client="10.0.0.53", server=wire.CLIENT)]
    packets += wire.Talk().open().packets
    flow = audit_bytes(wire.pcap(packets)).flows.iloc[-1]
    assert (flow["server_name"], flow["server_name_source"], flow["region"]) == (name, "dns", "us-west-2")


def _answered(name: str, address: str, to: str) -> bytes:
    answer = DNS(qr=1, ra=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, rdata=address))
    return wire.datagram(bytes(answer), sport=53, dport=6000, client="10.0.0.53", server=to)


def test_an_answer_to_another_client_is_told_as_such(audit_bytes: Any) -> None:
    """What DNS answered somebody else, as it does a resolver between, names a flow too, but another source is told."""
    name = "sms-voice.us-west-2.amazonaws.com"
    packets = [_answered(name, wire.SERVER, "10.0.0.99"), *wire.Talk().open().packets]
    packets += [_answered(name, wire.SERVER, wire.CLIENT), *wire.Talk(sport=40_001).open().packets]
    flows = audit_bytes(wire.pcap(packets)).flows
    flows = flows[flows["transport"] == "tcp"].sort_values("client_port")
    assert flows["server_name"].tolist() == [name, name]
    assert flows["server_name_source"].tolist() == ["dns-shared", "dns"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [(None, True), ("www.example.com", True), ("pinpoint.us-east-1.amazonaws.com", False)],
)
def test_dns_answers_speak_for_their_own_name(audit_bytes: Any, asked: str | None, found: bool) -> None:
    """An AWS name at an address outside of AWS's ranges is a finding unless DNS gave the address for that very name."""
    server = "203.0.113.7"
    talk = wire.Talk(server=server).open()
    talk.send(0, wire.record(22, wire.client_hello("Pinpoint.us-east-1.amazonaws.com")))
    packets = [_answered(asked, server, wire.CLIENT)] if asked else []
    result = audit_bytes(wire.pcap([*packets, *talk.packets]))
    assert ("NAME102" in set(result.findings["rule"])) == found


@pytest.mark.parametrize(
    ("life", "alias", "begins", "named"),
    [
        (300, None, [200], True),
        (300, None, [400], False),
        (5, None, [50], True),  # programs keep addresses for a minute
        (5, None, [70], False),
        (5, None, [50, 100, 150], True),  # used again within a minute each time
        (5, None, [50, 120], False),
        (3600, 10, [100], False),  # the alias lives no longer
        (3600, 1800, [100], True),
        (1 << 31, None, [70], False),  # RFC 2181 8: taken for 0
    ],
)
def test_dns_answers_are_forgotten(
    audit_bytes: Any, life: int, alias: int | None, begins: list[int], named: bool
) -> None:
    """An answer names flows within its time to live and a minute, or within a minute of its last use."""
    name, start = "sms-voice.us-west-2.amazonaws.com", 1_700_000_000 * wire.SECOND
    records = DNSRR(rrname="x.example" if alias else name, rdata=wire.SERVER, ttl=life)
    if alias:
        records = DNSRR(rrname=name, type="CNAME", rdata="x.example", ttl=alias) / records
    answer = DNS(qr=1, ra=1, qd=DNSQR(qname=name), ancount=2 if alias else 1, an=records)
    packets = [(start, wire.datagram(bytes(answer), sport=53, dport=6000, client="10.0.0.53", server=wire.CLIENT))]
    for number, seconds in enumerate(begins):
        talk = wire.Talk(sport=40_000 + number).open()
        packets += [(start + seconds * wire.SECOND + k, packet) for k, packet in enumerate(talk.packets)]
    flow = audit_bytes(wire.pcap(packets, nanoseconds=True)).flows.iloc[-1]
    assert flow[["server_name", "server_name_source"]].dropna().tolist() == ([name, "dns"] if named else [])


def test_state_starts_empty() -> None:
    """A new state has every place free."""
    state = new_state()
    assert state.memory.counters[S.FREE_FLOW] == 0
    assert make_room(state).flows is state.flows


def places_in_use(data: bytes, filler: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Follow a capture's packets in arrays whose every byte was ``filler`` before; the bytes of all places in use."""

    def filled(count: int, dtype: Any) -> Any:
        if dtype in (ANSWER_ROW, RECENT_PACKET):
            return records(count, dtype)  # these tables are looked up before anything is put in
        return np.full(count * dtype.itemsize, filler, np.uint8).view(dtype).view(np.recarray)

    records = S.records
    monkeypatch.setattr(S, "records", filled)
    monkeypatch.setattr(room, "new_keys", lambda: np.arange(KEYS, dtype=np.uint64))  # a flow's bucket depends on them
    state, packets = new_state(), S.packets(64)
    block = np.frombuffer(bytearray(data), np.uint8)
    layout = np.array([PCAP, 0, 1000, ETHERNET, 65536, 16, 0, ANY_FRACTION], np.int64)
    interfaces = np.zeros(0, INTERFACE).view(np.recarray)
    count, *_ = scan.read_batch(block, 24, len(block), layout, interfaces, 0, packets)
    scan.follow_batch(state, block, packets, 0, count, False)
    monkeypatch.undo()
    flows = np.flatnonzero(state.flows["live"] == S.LIVE)
    sides = np.concatenate([flows, flows + len(state.flows)])
    streams, shaken = state.sides["stream"][sides], state.flows["handshake"][flows]
    kept = state.flows["datagram"][flows]
    used = {
        "packets": packets[:count],
        "flows": state.flows[flows],
        "sides": state.sides[sides],
        "ways": state.ways[sides],
        "streams": state.streams[streams[streams > 0]],
        "handshakes": state.handshakes[shaken[shaken >= 0]],
        "datagrams": state.memory.datagrams[kept[kept >= 0]],
    }
    assert all(map(len, used.values()))
    return {name: rows.tobytes() for name, rows in used.items()}


def test_the_other_side_of_unanswered_flows_is_never_touched(audit_bytes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the rows of a side that has sent nothing, whatever the other one sends: SYNs, data, their end."""
    talk = wire.Talk().open().play([("c", HELLO), ("s", ANSWER)])
    alone = wire.Talk(sport=41_000)
    alone.send(0, flags="S")
    alone.send(0, flags="S", at=77)
    alone.send(0, HELLO[:1000])
    alone.send(0, flags="FA")
    dtls = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x0e\x01" + bytes(13)
    data = wire.pcap([*talk.packets, *alone.packets, wire.datagram(dtls, dport=4433)])
    audit_bytes(data)  # loads the kernels
    used = places_in_use(data, 0x00, monkeypatch)
    for name, dtype in (("sides", S.SIDE), ("ways", S.WAY)):
        rows = np.frombuffer(used[name], np.uint8).reshape(2, -1, dtype.itemsize)
        assert rows.any(axis=2).sum(axis=1).tolist() == [rows.shape[1], 1]


def test_places_used_again_are_set_whole(audit_bytes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what was in a place before is left in any field when the place is used again."""
    talk = wire.Talk().open().play([("c", HELLO), ("s", ANSWER)])
    other = wire.Talk(sport=41_000)  # seen from its middle, with a gap
    other.send(0, HELLO[:1000])
    other.send(0, HELLO[1400:], at=other.next[0] + 400)
    dtls = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x0e\x01" + bytes(13)
    data = wire.pcap([*talk.packets, *other.packets, wire.datagram(dtls, dport=4433)])
    audit_bytes(data)  # loads the kernels
    before = places_in_use(data, 0x00, monkeypatch)
    assert places_in_use(data, 0xA5, monkeypatch) == before
