"""TLS inside other protocols: each is named, and a session that stays in clear is distinguished; packets seen twice."""

import base64
import struct
from collections.abc import Callable

import pandas as pd
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

import auditor
from auditor.recognise.numbers import PROTOCOL_NAMES
from auditor.recognise.openings import OPENINGS
from tests import wire

HELLO = wire.record(22, wire.client_hello())
ANSWER = wire.record(22, wire.server_hello())
TLS = [("c", HELLO), ("s", ANSWER)]
Run = Callable[..., auditor.Audit]

TALKS: dict[str, list[tuple[str, bytes]]] = {
    "smtp": [("s", b"220 mail.example ESMTP\r\n"), ("c", b"EHLO me\r\n"), ("s", b"250-mail.example\r\n250 STARTTLS\r\n"), ("c", b"STARTTLS\r\n"), ("s", b"220 go ahead\r\n")],
    "smtp, lmtp": [("s", b"220 mail.example LMTP\r\n"), ("c", b"LHLO me\r\n"), ("s", b"250 STARTTLS\r\n"), ("c", b"STARTTLS\r\n"), ("s", b"220 go\r\n")],
    "smtp, small letters": [("s", b"220 mail.example\r\n"), ("c", b"ehlo me\r\n"), ("s", b"250 STARTTLS\r\n"), ("c", b"starttls\r\n"), ("s", b"220 go\r\n")],
    "imap": [("s", b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"), ("c", b"a STARTTLS\r\n"), ("s", b"a OK begin\r\n")],
    "pop3": [("s", b"+OK ready\r\n"), ("c", b"STLS\r\n"), ("s", b"+OK begin\r\n")],
    "ftp": [("s", b"220 FTP server\r\n"), ("c", b"AUTH TLS\r\n"), ("s", b"234 go\r\n")],
    "ftp, which does not say so": [("s", b"220 welcome\r\n"), ("c", b"AUTH TLS\r\n"), ("s", b"234 go\r\n")],
    "xmpp": [("c", b"<?xml version='1.0'?><stream:stream to='example.org'>"), ("s", b"<?xml version='1.0'?><stream:features><starttls/></stream:features>"), ("c", b"<starttls/>"), ("s", b"<proceed/>")],
    "irc": [("c", b"NICK me\r\nSTARTTLS\r\n"), ("s", b":irc.example 670 me :STARTTLS successful\r\n")],
    "nntp": [("s", b"200 news.example ready\r\n"), ("c", b"STARTTLS\r\n"), ("s", b"382 continue\r\n")],
    "sieve": [("s", b'"IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK\r\n'), ("c", b"STARTTLS\r\n"), ("s", b"OK begin\r\n")],
    "ldap": [("c", b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"), ("s", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0")],
    "postgresql": [("c", b"\0\0\0\x08\x04\xd2\x16\x2f"), ("s", b"S")],
    "postgresql, after GSS": [("c", b"\0\0\0\x08\x04\xd2\x16\x30"), ("s", b"N"), ("c", b"\0\0\0\x08\x04\xd2\x16\x2f"), ("s", b"S")],
    "vnc": [("s", b"RFB 003.008\n"), ("c", b"RFB 003.008\n"), ("s", b"\1\x13"), ("c", b"\x13"), ("s", b"\0\2"), ("c", b"\0\2"), ("s", b"\0\2\0\0\1\2\0\0\1\4"), ("c", b"\0\0\1\4"), ("s", b"\1")],
    "mysql": [("s", b"\x4a\0\0\0\x0a8.0.36\0" + bytes(64)), ("c", b"\x20\0\0\1\x85\xae\xff\1" + bytes(28))],
    "nbd": [("s", b"NBDMAGICIHAVEOPT\0\3"), ("c", b"\0\0\0\3IHAVEOPT\0\0\0\5\0\0\0\0"), ("s", b"\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\5\0\0\0\1\0\0\0\0")],
    "rdp": [("c", b"\3\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\1\0\0\0"), ("s", b"\3\0\0\x13\x0e\xd0\0\0\x124\0\2\0\x08\0\1\0\0\0")],
    "socks": [("c", b"\5\1\0"), ("s", b"\5\0"), ("c", b"\5\1\0\3\x0bexample.org\1\xbb"), ("s", b"\5\0\0\1" + bytes(6))],
    "http, upgrade of a printer": [("c", b"OPTIONS * HTTP/1.1\r\nHost: p\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n"), ("s", b"HTTP/1.1 101 Switching Protocols\r\n\r\n")],
    "http": [("c", b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"), ("s", b"HTTP/1.1 200 Connection established\r\n\r\n")],
}  # fmt: skip


@pytest.mark.parametrize("name", TALKS)
def test_tls_inside(audit_bytes: Run, name: str) -> None:
    """After the protocol's upgrade the handshake is read, and the protocol named."""
    result = audit_bytes(wire.pcap(wire.Talk(dport=5555).open().play([*TALKS[name], *TLS]).packets))
    row, flow = wire.only(result.handshakes), wire.only(result.flows)
    assert (row["starttls"], row["status"], flow["upgrade"]) == (name.partition(",")[0], "complete", "used")
    assert flow["client_port"] == 40_000


@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize("syn", [True, False])
def test_a_hello_in_the_segment_of_its_request(audit_bytes: Run, name: str, syn: bool) -> None:
    """A client that waits for no answer, and a server that puts its answer and ServerHello together; also without what came before."""
    talk = TALKS[name]
    last = max(at for at, (who, _) in enumerate(talk) if who == "c")
    together = [("c", talk[last][1] + HELLO), ("s", b"".join(said for _, said in talk[last + 1 :]) + ANSWER)]
    connection = wire.Talk(dport=5555)
    if syn:
        connection.open().play(talk[:last])
    row = wire.only(audit_bytes(wire.pcap(connection.play(together).packets)).handshakes)
    assert (row["status"], row["server_name"]) == ("complete", "pinpoint.us-east-1.amazonaws.com")
    assert row["starttls"] == name.partition(",")[0] or not syn


@pytest.mark.parametrize("spoken", [b"\xff\xfd\x2e", b"\0\0\0\0", b"\2\0", b"\x80"])
@pytest.mark.parametrize("who", ["c", "s", "cs"])
def test_a_few_bytes_before_a_hello(audit_bytes: Run, spoken: bytes, who: str) -> None:
    """Bytes that may be the beginning of many things (Telnet's options, say) do not hide the hello that follows."""
    talk = [(one, spoken) for one in who]
    row = wire.only(audit_bytes(wire.pcap(wire.Talk(dport=5555).open().play([*talk, *TLS]).packets)).handshakes)
    assert (row["status"], row["server_name"]) == ("complete", "pinpoint.us-east-1.amazonaws.com")


@pytest.mark.parametrize(
    ("name", "turns", "expected"),
    [
        ("smtp", 3, "offered, not used"),
        ("imap", 1, "offered, not used"),
        ("pop3", 2, "asked, not used"),
        ("ftp", 2, "asked, not used"),
        ("postgresql", 1, "asked, not used"),
    ],
)
def test_a_session_that_stays_in_clear(audit_bytes: Run, name: str, turns: int, expected: str) -> None:
    """TLS was offered or asked for, and the session went on without it: a fact of its own."""
    talk = wire.Talk(dport=5555).open().play([*TALKS[name][:turns], ("c", b"USER me\r\n"), ("s", b"welcome\r\n")])
    result = audit_bytes(wire.pcap(talk.packets))
    assert result.handshakes.empty
    flow = wire.only(result.flows)
    assert (flow["protocol"], flow["upgrade"]) == (name, expected)


LOOKS_LIKE_ANOTHER = {
    "redis": [("c", b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\n1\r\n"), ("s", b"+OK\r\n")],  # as POP3 greets
    "ftp": [
        ("s", b"220-Files of all kinds\r\n220 Welcome\r\n"),
        ("c", b"USER x\r\n"),
        ("s", b"331 Please, specify the password.\r\n"),
        ("c", b"PASS y\r\n"),  # as IRC begins
    ],
    "ftp, only the client": [("c", b"USER x\r\n"), ("c", b"PASS y\r\n"), ("c", b"SYST\r\n"), ("c", b"PASV\r\n")],
    "ftp, from the password on": [("c", b"PASS y\r\n"), ("c", b"TYPE I\r\n")],
    "irc": [("c", b"PASS y\r\nNICK me\r\nUSER me 0 * :me\r\n")],
    "irc, line by line": [("c", b"PASS y\r\n"), ("c", b"NICK me\r\n")],
    "redis, inline": [("c", b"PING\r\n"), ("s", b"+PONG\r\n")],
    "redis, a word that we do not know": [("c", b"HINCRBY a b 1\r\n"), ("s", b"+OK\r\n")],
    "pop3": [("s", b"+OK\r\n"), ("c", b"USER x\r\n"), ("s", b"+OK\r\n")],
}
LEFT_OPEN = {
    "a name and a password": [("c", b"USER x\r\n"), ("c", b"PASS y\r\n")],  # FTP's, or POP3's
    "a password": [("c", b"PASS y\r\n")],
}


@pytest.mark.parametrize("name", LOOKS_LIKE_ANOTHER)
def test_what_comes_later_looks_like_another_protocol(audit_bytes: Run, name: str) -> None:
    """A flow has the name of what it begins with, not of later words that other protocols begin with."""
    told = audit_bytes(wire.pcap(wire.Talk().open().play(LOOKS_LIKE_ANOTHER[name]).packets))
    assert [row["protocol"] for row in told.rows("flows", "protocol")] == [name.partition(",")[0]]


@pytest.mark.parametrize("name", LEFT_OPEN)
def test_what_several_protocols_say_names_none(audit_bytes: Run, name: str) -> None:
    """Of words that several protocols have alike none is made out."""
    told = audit_bytes(wire.pcap(wire.Talk().open().play(LEFT_OPEN[name]).packets))
    assert pd.isna(wire.only(told.flows)["protocol"])


def test_a_bare_ok_in_the_middle_of_a_session(audit_bytes: Run) -> None:
    """Without the beginning it is POP3's or Redis'; what follows tells which."""
    words: dict[str, list[tuple[str, bytes]]] = {
        "redis": [("s", b"+OK\r\n"), ("c", b"*1\r\n$4\r\nPING\r\n")],
        "pop3": [("c", b"DELE 1\r\n"), ("s", b"+OK\r\n"), ("c", b"QUIT\r\n"), ("s", b"+OK bye\r\n")],
    }
    for name, talk in words.items():
        told = audit_bytes(wire.pcap(wire.Talk().play(talk).packets))
        assert wire.only(told.flows)["protocol"] == name


def test_postgresql_in_clear(audit_bytes: Run) -> None:
    """A log-in without a request for TLS is named, in one segment or several."""
    body = struct.pack(">I", 196_608) + b"user\0me\0database\0d\0\0"
    start = struct.pack(">I", len(body) + 4) + body
    for size in (1460, 20):
        talk = wire.Talk(dport=5555).open().play([("c", start), ("s", b"R\0\0\0\x08\0\0\0\0")], size)
        flow = wire.only(audit_bytes(wire.pcap(talk.packets)).flows)
        assert flow["protocol"] == "postgresql"
        assert pd.isna(flow["upgrade"])


def test_a_refusal(audit_bytes: Run) -> None:
    """PostgreSQL's server says N."""
    talk = wire.Talk(dport=5432).open().play([TALKS["postgresql"][0], ("s", b"N")])
    assert wire.only(audit_bytes(wire.pcap(talk.packets)).flows)["upgrade"] == "refused"


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7 192.0.2.10 50000 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\6\4\0\3abc",
        b"PROXY TCP4 203.0.113.7 192.0.2.10 50000 443\r\n\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_proxy_header(audit_bytes: Run, header: bytes, together: bool) -> None:
    """A PROXY protocol header in front of the hello, in its segment or in one before."""
    talk = wire.Talk(dport=5555).open()
    talk.play([("c", header + HELLO)] if together else [("c", header), ("c", HELLO)]).play([("s", ANSWER)])
    row = wire.only(audit_bytes(wire.pcap(talk.packets)).handshakes)
    assert (row["starttls"], row["status"]) == ("proxy", "complete")
    assert row["server_name"] == "pinpoint.us-east-1.amazonaws.com"


@pytest.mark.parametrize("together", [True, False])
def test_what_is_spoken_behind_a_proxy_header(audit_bytes: Run, together: bool) -> None:
    """A request behind the header, in its segment or in the next one, names the flow and its server."""
    header, request = b"PROXY TCP4 203.0.113.7 192.0.2.10 5 80\r\n", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"
    talk = wire.Talk(dport=5555).open().play([("c", header + request)] if together else [("c", header), ("c", request)])
    flow = wire.only(audit_bytes(wire.pcap(talk.packets)).flows)
    assert (flow["protocol"], flow["server_name"]) == ("http", "example.org")


def numbered(packets: list[bytes]) -> list[bytes]:
    """The packets with IPv4 identifications that count, as real senders write them."""
    renumbered = []
    for number, packet in enumerate(packets):
        changed = Ether(packet)
        changed[IP].id = 1000 + number
        del changed[IP].chksum
        renumbered.append(bytes(changed))
    return renumbered


def test_both_ports_of_a_switch(audit_bytes: Run) -> None:
    """Every packet twice: each counts once, and the captures table says how many there were."""
    packets = numbered(wire.Talk().open().play(TLS).close().packets)
    once, twice = audit_bytes(wire.pcap(packets)), None
    twice = audit_bytes(wire.pcap([p for p in packets for _ in (1, 2)]))
    assert wire.only(twice.captures)["duplicates"] == len(packets)
    assert "twice" in wire.only(twice.captures)["warnings"]
    for name in ("client_packets", "server_packets", "client_bytes", "server_bytes", "tcp_state"):
        assert wire.only(once.flows)[name] == wire.only(twice.flows)[name]


def test_both_ends_mirrored(audit_bytes: Run) -> None:
    """Two AWS traffic mirrors of one connection: the copy from the other mirror is a duplicate, not a second flow."""
    packets = wire.Talk().open().play(TLS).packets
    outer = wire.ETHERNET / IP(src="172.31.0.1", dst="172.31.0.2") / UDP(dport=4789)
    mirrored = [bytes(outer / VXLAN(vni=vni, flags="Instance") / Ether(p)) for p in packets for vni in (1, 2)]
    result = audit_bytes(wire.pcap(mirrored))
    assert wire.only(result.flows)["client_packets"] == 3
    assert wire.only(result.captures)["duplicates"] == len(packets)


def test_what_is_sent_again_is_no_duplicate(audit_bytes: Run) -> None:
    """A retransmission has another IP identification, and counts again; a copy that a router passed on counts once."""
    packets = wire.Talk().open().play([("c", HELLO), ("c", b"")]).packets
    talk = numbered([*packets, packets[3]])
    assert wire.only(audit_bytes(wire.pcap(talk)).captures)["duplicates"] == 0
    routed = Ether(talk[3])
    routed[IP].ttl -= 1
    del routed[IP].chksum
    assert wire.only(audit_bytes(wire.pcap([*talk[:4], bytes(routed)])).captures)["duplicates"] == 1


def test_duplicates_of_datagrams(audit_bytes: Run) -> None:
    """UDP: the same payload with the same identification is a copy."""
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\7example\3org\0\0\1\0\1"
    one = numbered([wire.datagram(query), wire.datagram(query)])
    assert wire.only(audit_bytes(wire.pcap(one)).captures)["duplicates"] == 0
    assert wire.only(audit_bytes(wire.pcap([one[0], one[0]])).captures)["duplicates"] == 1


def test_tls_in_base64(audit_bytes: Run) -> None:
    """GridFTP (RFC 2228): TLS records in base64, in lines that are cut anywhere, make the same row."""

    def turn(who: str, data: bytes) -> tuple[str, bytes]:
        text = base64.b64encode(data)
        return (who, b"ADAT " + text + b"\r\n") if who == "c" else (who, b"335 ADAT=" + text + b"\r\n")

    done = wire.record(20, b"\1") + wire.record(22, bytes(40))
    flights = [
        ("s", b"220 GridFTP server\r\n"),
        ("c", b"AUTH GSSAPI\r\n"),
        ("s", b"334 go\r\n"),
        turn("c", HELLO),
        turn("s", wire.record(22, wire.server_hello() + wire.message(14, b""))),
        turn("c", wire.record(22, wire.message(16, bytes(66))) + done),
        turn("s", done),
        ("c", b"ADAT this is no base64\r\n"),
    ]
    for size in (1460, 40):
        result = audit_bytes(wire.pcap(wire.Talk(dport=2811).open().play(flights, size).packets))
        row, flow = wire.only(result.handshakes), wire.only(result.flows)
        assert (row["starttls"], row["transport"], row["status"], row["established"]) == (
            "ftp",
            "tcp",
            "complete",
            True,
        )
        assert (row["history"], row["cipher_suite"]) == ("CsnGIi", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        assert (flow["tls_version"], flow["upgrade"], flow["client_port"]) == ("TLS 1.2", "used", 40_000)


def test_each_opening_is_reached() -> None:
    """Every row of the table names an application, and none stands behind one that all its streams begin with too."""
    assert all(one.application in PROTOCOL_NAMES for one in OPENINGS)
    hidden = [
        (first.text, one.text)
        for k, one in enumerate(OPENINGS)
        for first in OPENINGS[:k]
        if one.text.startswith(first.text)
    ]
    assert not hidden
