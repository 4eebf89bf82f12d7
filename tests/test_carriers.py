"""TLS and DTLS inside messages of other protocols: the same facts, however these are cut, shuffled, repeated and mixed."""

import hashlib
import random
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import auditor
from tests import carriers, wire
from tests import quic_wire as q

SOME = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
Run = Callable[..., auditor.Audit]
ENDS: tuple[dict[str, Any], dict[str, Any]] = (
    {"sport": 50_000, "dport": 7777},
    {"sport": 7777, "dport": 50_000, "client": wire.SERVER, "server": wire.CLIENT},
)


def datagrams(talk: carriers.Flights) -> list[bytes]:
    return [wire.datagram(data, **ENDS["cs".index(who)]) for who, data in talk]


def segments(talk: carriers.Flights, size: int = 1460) -> list[bytes]:
    return wire.Talk(dport=7777).open().play(talk, size).packets


def check(result: auditor.Audit, carrier: str) -> None:
    """One handshake inside one flow of the carrier's, from its beginning to its end."""
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    name = carrier.partition(",")[0]
    assert (flow["protocol"], row["starttls"], flow["upgrade"]) == (name, name, "used")
    assert (row["server_name"], row["cipher_suite"]) == (carriers.NAME, carriers.SUITE)
    assert row["tls_version"] in ("TLS 1.2", "DTLS 1.2")
    assert (row["status"], row["established"], row["forward_secrecy"]) == ("complete", True, True)
    assert (flow["client_port"], flow["tls_version"]) == (
        50_000 if flow["transport"] == "udp" else 40_000,
        row["tls_version"],
    )


@pytest.mark.parametrize("carrier", carriers.OVER_TCP)
@pytest.mark.parametrize("size", [1460, 700, 61, 1])
def test_over_tcp(audit_bytes: Run, carrier: str, size: int) -> None:
    """However messages lie in segments: the handshake is read, and the carrier named."""
    check(audit_bytes(wire.pcap(segments(carriers.OVER_TCP[carrier](), size))), carrier)


@pytest.mark.parametrize("carrier", carriers.OVER_UDP)
def test_over_udp(audit_bytes: Run, carrier: str) -> None:
    """Each carrier over UDP: the handshake is read, and the carrier named."""
    check(audit_bytes(wire.pcap(datagrams(carriers.OVER_UDP[carrier]()))), carrier)


@pytest.mark.parametrize("carrier", carriers.OVER_UDP)
@pytest.mark.parametrize("size", [100, 128, 200, 300])
def test_cut_packets(audit_bytes: Run, carrier: str, size: int) -> None:
    """Packets cut by a snap length: nothing is joined to a datagram's beginning, so no name is read that nobody sent."""
    result = audit_bytes(wire.pcap(datagrams(carriers.OVER_UDP[carrier]()), snap=size))
    assert set(result.handshakes["status"]) <= {"truncated", "client_only", "server_only", "complete"}
    assert set(result.handshakes["server_name"].dropna()) <= {carriers.NAME}


HELLO_CUT = {**carriers.OVER_TCP, **carriers.OVER_UDP}


@pytest.mark.parametrize("carrier", [one for one in HELLO_CUT if one not in ("openvpn, sha512", "radius, peap")])
@pytest.mark.parametrize("size", [128, 150])
def test_a_cut_hello(audit_bytes: Run, carrier: str, size: int) -> None:
    """Of a hello that the snap length cuts there is the beginning, in a row that is truncated, in the carrier's flow."""
    talk = HELLO_CUT[carrier]()
    over_tcp = HELLO_CUT[carrier] is carriers.OVER_TCP.get(carrier)
    result = audit_bytes(wire.pcap(segments(talk) if over_tcp else datagrams(talk), snap=size))
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (flow["protocol"], row["starttls"], row["status"]) == (*[carrier.partition(",")[0]] * 2, "truncated")
    assert row["status_reason"].startswith("ClientHello: the capture has only its first")
    assert row["client_hello_bytes"] == (90 if row["transport"] == "dtls" else 198)
    assert row["established"] is not False
    assert flow["client_port"] in (40_000, 50_000)
    assert pd.isna(row["server_name"]) or row["server_name"] == carriers.NAME


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("beyond", [0, 5, 13])
def test_packets_cut_before_the_record(audit_bytes: Run, digest: str, beyond: int) -> None:
    """Packets with an HMAC of which no byte of TLS was captured: the protocol is told, and why nothing else is."""
    size = 42 + 17 + hashlib.new(digest).digest_size + beyond
    result = audit_bytes(wire.pcap(datagrams(carriers.openvpn(carriers.handshake(), digest)), snap=size))
    assert wire.only(result.flows)["protocol"] == "openvpn"
    row = wire.only(result.handshakes)
    assert (row["starttls"], row["status"]) == ("openvpn", "truncated")
    assert row["status_reason"] == "OpenVPN's packets were cut before the handshake in them"


def test_a_cut_certificate_inside(audit_bytes: Run) -> None:
    """A Certificate message of which TDS packets show the beginning is neither encrypted nor absent."""
    result = audit_bytes(wire.pcap(segments(carriers.tds(carriers.handshake())), snap=300), policy="pci-dss-4.0.1")
    row = wire.only(result.handshakes)
    assert (row["cipher_suite"], row["established"] is not False) == (carriers.SUITE, True)
    judged = wire.only(result.verdicts[result.verdicts["rule"] == "PCI103"])
    assert (judged["verdict"], judged["reason"]) == ("not_observable", "the certificates are not whole in the capture")


@pytest.mark.parametrize("size", [128, 150, 200, 300])
def test_cut_pieces_of_one_conversation(audit_bytes: Run, size: int) -> None:
    """RADIUS packets whose State is cut off still belong to the conversation whose request they answer."""
    result = audit_bytes(wire.pcap(datagrams(carriers.radius(carriers.handshake(), method=25, size=90)), snap=size))
    assert wire.only(result.handshakes)["starttls"] == "radius"


@SOME
@given(seed=st.integers(0, 1 << 30), carrier=st.sampled_from(sorted(carriers.OVER_TCP)), overlap=st.integers(0, 40))
def test_segments_in_any_order(audit_bytes: Run, seed: int, carrier: str, overlap: int) -> None:
    """Segments cut anywhere, overlapping, some sent again, neighbours exchanged: the same row."""
    shuffled = random.Random(seed)
    talk = wire.Talk(dport=7777).open()
    for who, data in carriers.OVER_TCP[carrier]():
        side = "cs".index(who)
        cuts = sorted(shuffled.sample(range(1, len(data)), k=min(len(data) - 1, 3)))
        parts = [(max(0, a - overlap), b) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        parts += [part for part in parts if shuffled.random() < 0.3]
        shuffled.shuffle(parts)
        for begin, end in parts:
            talk.send(side, data[begin:end], at=talk.next[side] + begin)
        talk.next[side] += len(data)
    check(audit_bytes(wire.pcap(talk.packets)), carrier)


NUMBERED = [name for name in carriers.OVER_UDP if name.startswith(("openvpn", "rdp", "stun, channel"))]


@SOME
@given(seed=st.integers(0, 1 << 30), carrier=st.sampled_from(sorted(NUMBERED)))
def test_datagrams_that_overtake(audit_bytes: Run, seed: int, carrier: str) -> None:
    """Datagrams that are sent again, or overtake their neighbours where they are numbered: the same row."""
    shuffled = random.Random(seed)
    talk = carriers.OVER_UDP[carrier]()
    first, rest = talk[:4], talk[4:]
    for at in range(0, len(rest) - 1, 2):
        if shuffled.random() < 0.5 and rest[at][0] == rest[at + 1][0]:
            rest[at], rest[at + 1] = rest[at + 1], rest[at]
    rest = [one for one in rest for _ in range(1 + (shuffled.random() < 0.3))]
    check(audit_bytes(wire.pcap(datagrams([*first, *rest]))), carrier)


@pytest.mark.parametrize(
    "carrier", ["openvpn, sha1", "openvpn, clear", "radius", "stun, channel", "stun, indications", "capwap"]
)
@pytest.mark.parametrize("who", "cs")
def test_one_direction(audit_bytes: Run, carrier: str, who: str) -> None:
    """A capture of one direction alone shows that side's hello."""
    talk = [one for one in carriers.OVER_UDP[carrier]() if one[0] == who]
    row = wire.only(audit_bytes(wire.pcap(datagrams(talk))).handshakes)
    assert row["status"] == ("client_only" if who == "c" else "server_only")
    assert pd.isna(row["cipher_suite"]) == (who == "c")
    assert row["starttls"] == carrier.partition(",")[0]


@pytest.mark.parametrize(("carrier", "missed"), [("openvpn, sha1", 2), ("openvpn, clear", 2), ("stun, channel", 4)])
def test_a_capture_that_begins_late(audit_bytes: Run, carrier: str, missed: int) -> None:
    """Without the carrier's own first messages the handshake is found all the same."""
    check(audit_bytes(wire.pcap(datagrams(carriers.OVER_UDP[carrier]()[missed:]))), carrier)


@pytest.mark.parametrize("method", [13, 21, 25, 43])
@pytest.mark.parametrize("group", ["", "c", "cs"])
def test_eap_over_lan(audit_bytes: Run, method: int, group: str) -> None:
    """802.1X, each method, to MACs or to the group address: the handshake, in a flow of the supplicant's."""
    frames = carriers.eap_over_lan(carriers.handshake(), method, group)
    result = audit_bytes(wire.pcap(frames))
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (flow["transport"], flow["protocol"], row["starttls"]) == ("eapol", "eap", "eap")
    assert (flow["client_mac"], flow["client_ip"]) == ("02:00:00:00:00:c1", "fe80::ff:fe00:c1")
    assert pd.isna(flow["community_id"])
    assert (row["cipher_suite"], row["status"], row["established"]) == (carriers.SUITE, "complete", True)


def test_answers_of_radius_that_overtake(audit_bytes: Run) -> None:
    """Where the capture has each answer before its request, the conversation is the same."""
    talk = carriers.radius(carriers.handshake())
    pairs = [one for at in range(0, len(talk) - 1, 2) for one in (talk[at + 1], talk[at])] + talk[len(talk) & ~1 :]
    row = wire.only(audit_bytes(wire.pcap(datagrams(pairs))).handshakes)
    assert (row["status"], row["server_name"], row["established"]) == ("complete", carriers.NAME, True)


def test_a_lost_fragment_of_eap(audit_bytes: Run) -> None:
    """Whichever frame the capture lacks, a certificate is the one that was sent, or is not known."""
    frames = carriers.eap_over_lan(carriers.handshake(), size=200)
    sent = wire.only(audit_bytes(wire.pcap(frames)).certificates)["certificate_id"]
    found = []
    for lost in range(4, len(frames)):
        result = audit_bytes(wire.pcap(frames[:lost] + frames[lost + 1 :]))
        assert set(result.certificates["certificate_id"]) <= {sent}
        found.append(len(result.certificates))
    assert 0 in found
    assert 1 in found


def test_eap_in_cooked_packets(audit_bytes: Run) -> None:
    """A capture of all interfaces has no address to which a frame goes: requests are of the supplicant who last answered."""
    frames = carriers.eap_over_lan(carriers.handshake())
    cooked = [struct.pack(">HHH", 0, 1, 6) + frame[6:12] + b"\0\0" + frame[12:] for frame in frames]
    row = wire.only(audit_bytes(wire.pcap(cooked, link=113)).handshakes)
    assert (row["status"], row["server_name"], row["starttls"]) == ("complete", carriers.NAME, "eap")


def test_supplicants_of_one_authenticator(audit_bytes: Run) -> None:
    """Each has a flow of its own; what is no EAP packet (keys) belongs to none."""
    one = carriers.eap_over_lan(carriers.handshake())
    other = [frame.replace(bytes.fromhex("0200000000c1"), bytes.fromhex("0200000000c2")) for frame in one]
    keys = one[0][:14] + b"\2\3\0\x5f" + bytes(95)
    result = audit_bytes(wire.pcap([keys, *(frame for pair in zip(one, other, strict=True) for frame in pair)]))
    assert len(result.flows) == 2
    assert list(result.handshakes["status"]) == ["complete", "complete"]


@pytest.mark.parametrize(("carrier", "missed"), [("tds", 2), ("stun", 4)])
def test_a_stream_that_begins_late(audit_bytes: Run, carrier: str, missed: int) -> None:
    """Likewise over TCP."""
    check(audit_bytes(wire.pcap(segments(carriers.OVER_TCP[carrier]()[missed:]))), carrier)


def test_tls_1_3_inside(audit_bytes: Run) -> None:
    """TLS 1.3, whose encrypted handshake looks like data, inside TDS and OpenVPN."""
    flights = carriers.handshake(ssl.TLSVersion.TLSv1_3)
    talks = [
        segments(carriers.tds([(who, b"\x16" + data[1:]) for who, data in flights[:1]])),
        datagrams(carriers.openvpn(flights)),
    ]
    row = wire.only(audit_bytes(wire.pcap(talks[1])).handshakes)
    assert (row["tls_version"], row["established"], row["forward_secrecy"]) == ("TLS 1.3", True, True)
    assert wire.only(audit_bytes(wire.pcap(talks[0])).handshakes)["tls_version_offered"] == "TLS 1.3"


def test_a_log_in_alone_is_encrypted(audit_bytes: Run) -> None:
    """TDS that goes on in clear behind an encrypted log-in is told: the flow is not encrypted."""
    log_in = [one for one in carriers.handshake() if one[1][0] != 23 or one[0] == "c"]
    flights = [*carriers.tds(log_in, encryption=0), ("s", carriers.tds_packet(4, b"\xad" + bytes(40)))]
    result = audit_bytes(wire.pcap(segments(flights)))
    assert wire.only(result.handshakes)["established"]
    judged = wire.only(result.verdicts[result.verdicts["rule"] == "NET101"])
    assert (judged["verdict"], judged["reason"]) == ("fail", "in clear after TLS had begun: tds")


@pytest.mark.parametrize(("answers", "expected"), [(2, "refused"), (1, "asked, not used")])
def test_tds_in_clear(audit_bytes: Run, answers: int, expected: str) -> None:
    """A server without encryption refuses it; one that agreed and saw none: both sessions are told."""
    talk = [
        carriers.tds([])[0],
        ("s", carriers.tds([], encryption=answers)[1][1]),
        ("c", carriers.tds_packet(1, bytes(50))),
    ]
    result = audit_bytes(wire.pcap(segments(talk)))
    assert result.handshakes.empty
    flow = wire.only(result.flows)
    assert (flow["protocol"], flow["upgrade"]) == ("tds", expected)


def test_a_hidden_control_channel(audit_bytes: Run) -> None:
    """With --tls-crypt nothing can be read, and that is what is said: also of one direction, late, and cut."""
    every = datagrams(carriers.openvpn_crypt())
    for packets, snap in [(every, 2000), (every, 59), (every[1:], 80), (every[2:], 70), (every[1:2], 2000)]:
        check_hidden(audit_bytes(wire.pcap(packets, snap=snap)))


def check_hidden(result: Any) -> None:
    row = wire.only(result.handshakes)
    assert wire.only(result.flows)["protocol"] == "openvpn"
    assert row["status"] == "truncated"
    assert "--tls-crypt" in row["status_reason"]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("digest", ["", "sha256"])
def test_new_keys_of_openvpn(audit_bytes: Run, digest: str, framed: bool, hidden: bool) -> None:
    """New keys are a handshake of their own; wrapped, as version 2.6 does it for later keys alone, they are said to be hidden."""
    first = carriers.openvpn(carriers.handshake(), digest, framed=framed)
    talk = [*first, *carriers.openvpn(carriers.handshake(), digest, framed=framed, key=1, hidden=hidden)]
    rows = audit_bytes(wire.pcap((segments if framed else datagrams)(talk))).handshakes
    assert list(rows["status"]) == ["complete", "truncated" if hidden else "complete"]
    assert list(rows["established"].fillna(False)) == [True, not hidden]
    assert hidden == ("--tls-crypt" in str(rows["status_reason"].iloc[1]))


@pytest.mark.parametrize("digest", ["", "sha1"])
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("size", [100, 1460])
def test_new_keys_of_a_connection_from_before(audit_bytes: Run, digest: str, framed: bool, size: int) -> None:
    """Behind data packets of keys that were agreed on before the capture, new ones show what it is: also from inside of a packet on."""
    data = [(who, bytes([0x48, 0, 0, 1]) + random.Random(k).randbytes(130)) for k in range(12) for who in "cs"]
    talk = [*carriers.prefixed(data), *carriers.openvpn(carriers.handshake(), digest, framed=True, key=2)]
    udp = [*data, *carriers.openvpn(carriers.handshake(), digest, key=2)]
    packets = segments(talk, size)[4:] if framed else datagrams(udp)
    check(audit_bytes(wire.pcap(packets)), "openvpn")


@pytest.mark.parametrize("seed", range(6))
def test_fragments_of_eap_in_any_order(audit_bytes: Run, seed: int) -> None:
    """Fragments that overtake each other or come again are put in the order that their identifiers count, on a link and in RADIUS."""
    chance = random.Random(seed)
    on_link = carriers.eap_over_lan(carriers.handshake(), size=200)
    in_radius = datagrams(carriers.radius(carriers.handshake(), size=200))
    for packets in (on_link, in_radius):
        order = sorted(range(len(packets)), key=lambda k: k if k < 2 else k + chance.randrange(4))
        shown = [packets[k] for k in order for _ in range(1 + (chance.random() < 0.3))]
        shown += [packets[k] for k in order[4:8]]
        row = wire.only(audit_bytes(wire.pcap(shown)).handshakes)
        assert (row["status"], row["server_name"], row["established"]) == ("complete", carriers.NAME, True)


def test_many_users_of_one_server(audit_bytes: Run) -> None:
    """Conversations of several users between the same ports, one packet of each in turn: a handshake of each."""
    talks = [carriers.radius(carriers.handshake(), size=1200, user=user) for user in range(3)]
    mixed = [talk[turn] for turn in range(len(talks[0])) for talk in talks]
    found = audit_bytes(wire.pcap(datagrams(mixed))).handshakes
    assert list(found["status"]) == ["complete"] * 3
    assert set(found["server_name"]) == {carriers.NAME}


def test_two_peers_of_a_turn_client(audit_bytes: Run) -> None:
    """What goes to and from each peer is a conversation of its own, in whatever form."""
    other = [
        (who, data.replace(carriers.TURN_PEER, carriers.TURN_PEER[:-1] + b"\x01").replace(b"\x40\1", b"\x40\2"))
        for who, data in carriers.turn(carriers.dtls_handshake(), "indications")
    ]
    talk = carriers.turn(carriers.dtls_handshake())
    mixed = [one for pair in zip(talk, other, strict=False) for one in pair] + talk[len(other) :]
    found = audit_bytes(wire.pcap(datagrams(mixed))).handshakes
    assert list(found["status"]) == ["complete", "complete"]


RTP = b"\x80\x60" + bytes(170)


@pytest.mark.parametrize("before", ["rtp", "stun", "both", "turn"])
@pytest.mark.parametrize("sides", ["cs", "c", "s"])
def test_dtls_that_begins_late(audit_bytes: Run, before: str, sides: str) -> None:
    """However much of RTP or STUN goes before it on its ports, in one direction or in both: DTLS is found (RFC 7983)."""
    noise = {"rtp": [RTP], "stun": [carriers.stun(1)], "both": [RTP, carriers.stun(1)], "turn": [b"\x40\1\0\xac" + RTP]}
    talk = [(who, data) for _ in range(400) for who in "cs" for data in noise[before]]
    dtls = carriers.dtls_handshake()
    talk += carriers.turn(dtls)[4:] if before == "turn" else dtls
    result = audit_bytes(wire.pcap(datagrams([one for one in talk if one[0] in sides])))
    row = wire.only(result.handshakes)
    assert row["transport"] == "dtls"
    assert row["status"] == {"cs": "complete", "c": "client_only", "s": "server_only"}[sides]


def test_dtls_and_quic_share_ports(audit_bytes: Run) -> None:
    """QUIC and DTLS on one 5-tuple (RFC 9443): a handshake of each."""
    hello = wire.client_hello(suites=(0x1301,), extensions=wire.extension(43, b"\x02\x03\x04"))
    quic = [("c", q.initial(q.crypto(0, hello), b"12345678")), ("c", b"\x40" + bytes(40))]
    for talk in ([*quic, *carriers.dtls_handshake()], [*carriers.dtls_handshake(), *quic]):
        found = audit_bytes(wire.pcap(datagrams(talk))).handshakes
        assert sorted(found["transport"]) == ["dtls", "quic"]
        assert set(found["server_name"]) == {carriers.NAME, "pinpoint.us-east-1.amazonaws.com"}


VERSIONS = (b"\x03\x01", b"\x03\x03", b"\x03\x04", b"\xfe\xff", b"\xfe\xfd")  # as hellos and records state them


@SOME
@given(data=st.data(), carrier=st.sampled_from(sorted(carriers.OVER_UDP)))
def test_damaged_messages_are_never_an_error(audit_bytes: Run, data: st.DataObject, carrier: str) -> None:
    """Bytes changed anywhere but in a version, messages cut short: no exception, and no version that nobody spoke."""
    talk = []
    for who, message in carriers.OVER_UDP[carrier]():
        changed = bytearray(message)
        versions = {at + k for at in range(len(message)) for k in (0, 1) if message[at : at + 2] in VERSIONS}
        places = st.sampled_from(sorted(set(range(len(message))) - versions))
        for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=2)):
            changed[at] = value
        talk.append(
            (who, bytes(changed[: data.draw(st.integers(1, len(changed)))]) if data.draw(st.booleans()) else message)
        )
    found = audit_bytes(wire.pcap(datagrams(talk))).handshakes
    assert set(found["tls_version"].dropna()) <= {"TLS 1.2", "DTLS 1.2"}


def test_what_is_none_of_them(audit_bytes: Run) -> None:
    """Other datagrams and streams of similar length are not taken for a carrier."""
    shuffled = random.Random(7)
    noise = [bytes(shuffled.randrange(256) for _ in range(size)) for size in (14, 42, 54, 86, 120, 300)]
    flows = audit_bytes(wire.pcap([wire.datagram(data, sport=1000 + n) for n, data in enumerate(noise)])).flows
    assert flows["protocol"].isna().all()
    socks = audit_bytes(wire.pcap(segments([("c", b"\4\1\1\xbb\x5d\xb8\xd8\x22me\0"), ("s", b"\0\x5a" + bytes(6))])))
    assert wire.only(socks.flows)["protocol"] == "socks"
