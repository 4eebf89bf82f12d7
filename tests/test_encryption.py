"""Encrypted means: a handshake that came to its end, a suite that encrypts, and nothing in clear in its place or after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import auditor
from tests import carriers, wire

NAME = "pinpoint.us-east-1.amazonaws.com"
HELLO = wire.record(22, wire.client_hello(NAME))
ANSWER = wire.record(22, wire.server_hello())
CCS, FINISHED = wire.record(20, b"\1"), wire.record(22, bytes(range(7, 47)))
DATA = wire.record(23, bytes(range(200)))
CLOSE = wire.record(21, bytes(range(30)))
# A ServerHello of draft 16, which names its version and has no session; a key share was extension 40.
DRAFT = wire.record(22, wire.message(2, b"\x7f\x10" + bytes(32) + b"\x13\1\0\x28\0\x28\0\x24\0\x1d\0\x20" + bytes(32)))
SHAKE = [("c", HELLO), ("s", ANSWER), ("c", CCS + FINISHED), ("s", CCS + FINISHED), ("c", DATA), ("s", DATA)]
POST = b"POST /v1/apps HTTP/1.1\r\nHost: pinpoint.us-east-1.amazonaws.com\r\n\r\n"
DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n<html>blocked</html>"
SMTP = [("s", b"220 ready\r\n"), ("c", b"EHLO x\r\n"), ("s", b"250-x\r\n250 STARTTLS\r\n"), ("c", b"STARTTLS\r\n")]
SOCKS = [("c", b"\5\1\0"), ("s", b"\5\0"), ("c", b"\5\1\0\1\x34\x2e\x82\x0a\0\x50"), ("s", b"\5\0\0\1" + bytes(6))]
BIND = b"\x30\x17\2\1\5\x60\x12\2\1\3\4\5cn=me\x80\6secret"
CLEAR = {
    "answered by a proxy": [("c", HELLO), ("s", DENIED)],
    "answered by SSH": [("c", HELLO), ("s", b"SSH-2.0-OpenSSH_9.6\r\n")],
    "answered by a proxy in two segments": [("c", HELLO), ("s", DENIED[:3]), ("s", DENIED[3:])],
    "answered by a proxy letter by letter": [
        ("c", HELLO),
        *(("s", DENIED[k : k + 1]) for k in range(40)),
        ("s", DENIED[40:]),
    ],
    "a request behind a PROXY header": [("c", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n" + POST), ("s", DENIED)],
    "a PROXY header, then a request": [("c", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n"), ("c", POST), ("s", DENIED)],
    "a request behind SOCKS 5": [*SOCKS, ("c", POST), ("s", DENIED)],
    "a request behind SOCKS 4": [("c", b"\4\1\0\x50\x34\x2e\x82\x0a\0"), ("s", b"\0\x5a" + bytes(6)), ("c", POST)],
    "answered in words": [("c", HELLO), ("s", b"ERR this port speaks no TLS at all\r\n")],
    "a request behind the hello": [("c", HELLO + POST)],
    "clear after TLS": [*SHAKE, ("c", CLOSE), ("s", CLOSE), ("c", POST), ("s", DENIED)],
    "LDAP after TLS ended": [*SHAKE, ("c", CLOSE), ("s", CLOSE), ("c", BIND)],
    "clear after STARTTLS ended": [*SMTP, ("s", b"220 go\r\n"), *SHAKE, ("c", CLOSE), ("c", b"QUIT\r\n")],
    "STARTTLS refused, then mail": [*SMTP, ("s", b"454 no\r\n"), ("c", b"MAIL FROM:<a@example.org>\r\n")],
    "STARTTLS failed, then mail": [
        *(*SMTP, ("s", b"220 go\r\n"), ("c", HELLO), ("s", wire.record(21, b"\2\x28"))),
        ("c", b"MAIL FROM:<a@example.org>\r\n"),
    ],
    "a suite without encryption": [("c", HELLO), ("s", wire.record(22, wire.server_hello(0xC010))), *SHAKE[2:]],
}
UNPROVEN = {
    "a hello alone": [("c", HELLO)],
    "no end of the handshake": [("c", HELLO), ("s", ANSWER)],
    "a refused handshake": [("c", HELLO), ("s", wire.record(21, b"\2\x28"))],
    "SSH that is greeted alone": [("s", b"SSH-2.0-OpenSSH_9.6\r\n"), ("c", b"SSH-2.0-x\r\n")],
    "bytes that nobody knows after TLS ended": [*SHAKE, ("c", CLOSE), ("s", CLOSE), ("c", bytes(range(128, 228)))],
    "from the middle": [("c", DATA), ("s", DATA)],
    "an answer that nobody knows": [("c", HELLO), ("s", bytes(range(128, 228)))],
    "bytes that nobody knows behind SOCKS 5": [*SOCKS, ("c", bytes(range(128, 228))), ("s", bytes(range(128, 228)))],
    "a suite that nobody knows": [("c", HELLO), ("s", wire.record(22, wire.server_hello(0xFEED))), *SHAKE[2:]],
}
ENCRYPTED = {
    "TLS": SHAKE,
    "behind a PROXY header": [("c", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n" + HELLO), *SHAKE[1:]],
    "SSH": [
        ("s", b"SSH-2.0-x\r\n"),
        ("c", b"SSH-2.0-y\r\n"),
        *((who, bytes([0, 0, 1, 4, 6, 20]) + bytes(400)) for who in "cs"),
    ],
    "STARTTLS": [*SMTP, ("s", b"220 go\r\n"), *SHAKE],
    "behind SOCKS 5": [*SOCKS, *SHAKE],
    "an alert in the middle": [*SHAKE, ("c", CLOSE), ("c", DATA + DATA[:9]), ("c", DATA[9:]), ("s", DATA)],
    "closed": [*SHAKE, ("c", CLOSE), ("s", CLOSE)],
    "a draft of TLS 1.3, without ChangeCipherSpec": [
        ("c", HELLO),
        ("s", DRAFT + DATA),
        ("c", DATA + DATA),
        ("s", DATA),
    ],
}
UNKNOWN = bytes(range(128, 228))
# A handshake inside of the first one, and data under its keys; and a ServerHello of TLS 1.3, which has none such.
AGAIN = [("c", FINISHED), ("s", FINISHED * 3), ("c", FINISHED + CCS + FINISHED), ("s", CCS + FINISHED), *SHAKE[4:]]
SHARED = wire.extension(43, b"\3\4") + wire.extension(51, b"\0\x1d\0\x20" + bytes(32))
TLS_1_3 = wire.record(22, wire.server_hello(0x1301, extensions=SHARED))
IN_WORDS = "données personnelles de Zoë Müller\n"
DONE = [
    ("c", HELLO),
    ("s", ANSWER + wire.record(22, wire.message(14, b""))),
    ("c", wire.record(22, wire.message(16, bytes(66)))),
]
# What follows the data of a handshake that came to its end, without a word of its end; and the data of one that did not.
BEHIND_RECORDS = {
    "UTF-8": ([*SHAKE, ("c", IN_WORDS.encode())], "fail"),
    "UTF-8 of the server": ([*SHAKE, ("s", "個人情報のデータ".encode())], "fail"),
    "UTF-16": ([*SHAKE, ("c", "Bob's data".encode("utf-16-le"))], "fail"),
    "UTF-16 in Cyrillic": ([*SHAKE, ("c", "данные".encode("utf-16-be"))], "fail"),
    "a query behind a binary head": ([*SHAKE, ("c", b"\x0f\0\0\0\x03select * from t")], "fail"),
    "text in a record's segment": ([*SHAKE, ("c", DATA + IN_WORDS.encode())], "fail"),
    "text behind unknown bytes": ([*SHAKE, ("c", UNKNOWN), ("c", POST)], "fail"),
    "unknown bytes": ([*SHAKE, ("c", UNKNOWN)], "not_observable"),
    "a record that is too long": ([*SHAKE, ("c", b"\x17\3\3\xff\xff" + UNKNOWN)], "not_observable"),
    "half a header, then none": ([*SHAKE, ("c", DATA + b"\x17\3"), ("c", UNKNOWN)], "not_observable"),
    "a renegotiation": ([*SHAKE, *AGAIN], "not_observable"),
    "a renegotiation within another protocol": ([*SMTP, ("s", b"220 go\r\n"), *SHAKE, *AGAIN], "not_observable"),
    "half a renegotiation": ([*SHAKE, ("s", FINISHED), ("c", FINISHED + DATA)], "pass"),
    "ChangeCipherSpec among the data of TLS 1.3": (
        [("c", HELLO), ("s", TLS_1_3 + DATA + CCS), ("c", DATA + CCS + DATA), ("s", DATA)],
        "pass",
    ),
    "records in pieces": ([*SHAKE, *(("c", (DATA * 3)[k : k + 7]) for k in range(0, 615, 7))], "pass"),
    "a request without ChangeCipherSpec": ([*DONE, ("c", wire.record(23, POST)), ("s", DATA)], "fail"),
    "UTF-8 without ChangeCipherSpec": ([*DONE, ("c", wire.record(23, IN_WORDS.encode())), ("s", DATA)], "fail"),
    "data without ChangeCipherSpec": ([*DONE, ("c", DATA), ("s", DATA)], "not_observable"),
    "ChangeCipherSpec of one side": ([*DONE, ("c", DATA), ("s", CCS + FINISHED), ("s", DATA)], "not_observable"),
}
SNMP_REST = b"\2\1\0\2\1\0\x30\x0e\x30\x0c\6\x08\x2b\6\1\2\1\1\1\0\5\0"
BEHIND_DTLS = {
    "nothing": (b"", "pass"),
    "a request": (POST, "fail"),
    "a line of syslog": (b"<13>Nov 28 host app: user bob logged in", "fail"),
    "UTF-8": (IN_WORDS.encode(), "fail"),
    "SNMP": (b"\x30\x29\2\1\0\4\6public\xa0\x1c\2\4\1\2\3\4" + SNMP_REST, "fail"),
    "DNS": (b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3www\7example\3org\0\0\1\0\1", "fail"),
    "bytes that nobody knows": (b"\x40\1\x12\x34\xb4temp\xff" + bytes(8), "not_observable"),
    "the short header of another version": (b"\x2f\1\2\0\x20" + UNKNOWN, "not_observable"),
    "a line's end that keeps ports open": (b"\r\n\r\n", "pass"),
    "STUN": (carriers.stun(1), "pass"),
    "a record of DTLS before its RFC": (b"\x17\1\0\0\1" + bytes(6) + b"\0\x64" + UNKNOWN, "pass"),
    "RTP": (b"\x80\x60" + UNKNOWN, "pass"),
    "ChannelData": (b"\x40\1\0\x20" + bytes(range(32)), "pass"),
}
AWS = "52.46.130.10"  # of ip-ranges.json, so that flows without a name are in scope too


def verdict(run: Callable[..., auditor.Audit], flights: Any, code: str = "NET101") -> str:
    data = wire.pcap(wire.Talk(server=AWS).open().play(flights).close().packets)
    told = run(data)
    found = [row["verdict"] for row in told.rows("verdicts", "rule", "verdict") if row["rule"] == code]
    assert len(found) == 1
    return str(found[0])


@pytest.mark.parametrize("scene", CLEAR)
def test_what_is_in_clear_fails(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """Whatever came before it, what can be read on the wire is not encrypted."""
    assert verdict(audit_bytes, CLEAR[scene]) == "fail"


@pytest.mark.parametrize("scene", UNPROVEN)
def test_what_was_not_seen_does_not_pass(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """Without a whole handshake and a known suite nobody can say that it is encrypted."""
    assert verdict(audit_bytes, UNPROVEN[scene]) == "not_observable"


@pytest.mark.parametrize("scene", ENCRYPTED)
def test_what_is_encrypted_passes(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """A handshake that came to its end with a suite that encrypts is enough."""
    assert verdict(audit_bytes, ENCRYPTED[scene]) == "pass"


@pytest.mark.parametrize("scene", BEHIND_RECORDS)
def test_what_no_keys_protect_does_not_pass(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """What is no record, and data before ChangeCipherSpec, is never encrypted; what of it can be read is in clear."""
    flights, expected = BEHIND_RECORDS[scene]
    assert verdict(audit_bytes, flights) == expected


def test_a_renegotiation_is_not_judged_by_the_first_handshake(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """What the last handshake of a connection agreed on is encrypted: no rule on suites, groups or certificates passes by the first."""
    policies = ["aws-pinpoint", "rfc9325", "nist-800-52r2", "anssi", "mozilla-intermediate-5.7"]
    told = [
        {row["rule"]: row["verdict"] for row in audit_bytes(data, policy=policies).rows("verdicts", "rule", "verdict")}
        for data in (
            wire.pcap(wire.Talk(server=AWS).open().play(flights).packets) for flights in (SHAKE, SHAKE + AGAIN)
        )
    ]
    once, again = ({rule for rule, said in one.items() if said == "pass"} for one in told)
    assert {"TLS101", "TLS106", "NET101", "BCP102", "BCP108", "NIST102", "ANSSI102", "MIA102"} <= once
    # What hellos in clear say stays: versions, what the client offers, and that the server knows secure renegotiation.
    kept = {"TLS101", "TLS103", "BCP101", "NIST101", "ANSSI101", "MIA101"}
    assert again & {"TLS106", "NET101", "BCP102", "BCP108", "NIST102", "ANSSI102", "MIA102"} == set()
    assert kept <= again
    assert {rule for rule, said in told[1].items() if said == "fail"} == {
        rule for rule, said in told[0].items() if said == "fail"
    }


def test_what_a_reset_says(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """What stands in a RST says why it was sent (RFC 9293 3.5.3), and is none of what the connection carried; what comes with FIN is."""
    for flags, expected in (("R", "pass"), ("RA", "pass"), ("RFA", "pass"), ("FA", "fail")):
        talk = wire.Talk(server=AWS).open().play(SHAKE)
        talk.send(1, DENIED, flags=flags)
        rows = audit_bytes(wire.pcap(talk.packets)).rows("verdicts", "rule", "verdict")
        assert [row["verdict"] for row in rows if row["rule"] == "NET101"] == [expected]


def test_behind_a_gap_nothing_is_known(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Bytes behind lost ones, sent again, to keep a connection alive, or to fill a frame, are not taken for something that is no record."""
    lost, again, alive, filled, probed = (
        wire.Talk(sport=port, server=AWS).open().play(SHAKE) for port in (5001, 5002, 5003, 5004, 5005)
    )
    data = wire.record(23, UNKNOWN)
    for part in (data[:50], data[50:], data):
        lost.send(0, part)
        again.send(0, part)
    del lost.packets[-3]
    again.send(0, data[50:], at=again.next[0] - len(data) + 50)
    alive.send(0, b"\0", at=alive.next[0] - 1)
    for talk, first in ((filled, bytes(2)), (filled, bytes(6)), (probed, data[:1])):
        begin = talk.next[0]
        talk.send(0, first)
        talk.send(0, data, at=begin)
        talk.next[0] = begin + len(data)
    told = audit_bytes(wire.pcap([p for one in (lost, again, alive, filled, probed) for p in one.packets]))
    verdicts = [row["verdict"] for row in told.rows("verdicts", "rule", "verdict") if row["rule"] == "NET101"]
    assert verdicts == ["pass"] * 5


@pytest.mark.parametrize("scene", BEHIND_DTLS)
def test_what_is_among_dtls(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """Messages in clear on the ports of DTLS are not encrypted; what may share them with it is no reason to doubt (RFC 7983)."""
    more, expected = BEHIND_DTLS[scene]
    ends = {"c": (wire.CLIENT, AWS, 5000, 443), "s": (AWS, wire.CLIENT, 443, 5000)}
    packets = [
        wire.datagram(data, ends[who][2], ends[who][3], client=ends[who][0], server=ends[who][1])
        for who, data in [*carriers.dtls_handshake(), ("c", more)]
    ]
    told = audit_bytes(wire.pcap(packets))
    assert [row["verdict"] for row in told.rows("verdicts", "rule", "verdict") if row["rule"] == "NET101"] == [expected]


@pytest.mark.parametrize("policy", ["nist-800-52r2", "mozilla-modern-6.0", "pq-ready", "aws-elb-tls13-1-2-2021-06"])
@pytest.mark.parametrize("scene", [name for name in CLEAR if "after" in name])
def test_no_policy_passes_what_was_in_clear(audit_bytes: Callable[..., auditor.Audit], scene: str, policy: str) -> None:
    """A flow that went on in clear passes no policy, also where no rule asks for encryption."""
    data = wire.pcap(wire.Talk(server=AWS).open().play(CLEAR[scene]).close().packets)
    assert [row["verdict"] for row in audit_bytes(data, policy=[policy]).rows("flows", "verdict")] != ["pass"]


@pytest.mark.parametrize("check", ["tls-version", "cipher-suites"])
def test_no_end_of_the_handshake_is_no_pass(
    audit_bytes: Callable[..., auditor.Audit], tmp_path: Path, check: str
) -> None:
    """Where only what was negotiated is asked for, a handshake without its end in the capture does not pass, and why is told."""
    own = tmp_path / "own.toml"
    own.write_text(
        'id = "own"\ntitle = "Own"\nedition = "1"\nsource = "ours"\nretrieved = 2026-11-01\n[[rule]]\ncode = "OUR101"\n'
        f'title = "One rule"\ncheck = "{check}"\nseverity = "high"\nwhat = "w"\nwhy = "y"\nfix = "f"\nsource = "s"\n'
        + ("parameters = { minimum_bits = 112 }\n" if check == "cipher-suites" else "")
    )
    for flights, expected in ((SHAKE[:2], "not_observable"), (SHAKE[:3], "not_observable"), (SHAKE, "pass")):
        data = wire.pcap(wire.Talk(server=AWS).open().play(flights).packets)
        told = audit_bytes(data, policy=own)
        assert [row["verdict"] for row in told.rows("verdicts", "verdict")] == ["pass"]
        assert [row["verdict"] for row in told.rows("flows", "verdict")] == [expected]
        whole = {"reason": "the end of the TLS handshake is not in the capture", "flows": 1}
        assert told.manifest["not_observable"] == ({} if expected == "pass" else {"-": [whole]})


def test_what_was_in_clear_has_no_version_of_tls(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """The rule on versions fails where commands were sent before or after a good handshake."""
    early = [*SMTP[:3], ("c", b"AUTH PLAIN AHUAcA==\r\n"), ("s", b"235 ok\r\n"), SMTP[3], ("s", b"220 go\r\n"), *SHAKE]
    for flights in (early, CLEAR["clear after TLS"]):
        assert verdict(audit_bytes, flights, "TLS101") == "fail"
    assert verdict(audit_bytes, ENCRYPTED["STARTTLS"], "TLS101") == "pass"


def test_what_is_said_of_requests_in_clear(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Where TLS protects nothing, nobody is asked for keys that would show what is inside."""
    null = [SHAKE[0], ("s", wire.record(22, wire.server_hello(0xC010))), *SHAKE[2:]]
    failed = [SHAKE[0], ("s", wire.record(21, b"\2\x28"))]
    scenes = {
        "protected": (SHAKE, "requests are inside TLS"),
        "answered by SSH": (CLEAR["answered by SSH"], "the ClientHello was answered without TLS"),
        "a suite without a cipher": (null, "the suite does not encrypt"),
        "refused": (failed, "the TLS handshake did not come to its end"),
        "bytes that nobody knows": (
            UNPROVEN["an answer that nobody knows"],
            "the TLS handshake did not come to its end",
        ),
    }
    packets: list[bytes] = []
    for port, (flights, _) in enumerate(scenes.values(), 20_000):
        packets += wire.Talk(server=AWS, sport=port).open().play(flights).close().packets
    told = audit_bytes(wire.pcap(packets))
    rows = told.rows("verdicts", "flow_id", "rule", "verdict", "reason")
    said = {row["flow_id"]: (row["verdict"], row["reason"]) for row in rows if row["rule"] == "REQ101"}
    found = {row["client_port"]: said[row["flow_id"]] for row in told.rows("flows", "flow_id", "client_port")}
    for port, (name, (_, words)) in enumerate(scenes.items(), 20_000):
        assert found[port][0] == "not_observable", name
        assert found[port][1].startswith(words), name


@pytest.mark.parametrize("kind", [0xD3, 0xE3])
def test_quic_without_its_handshake(audit_bytes: Callable[..., auditor.Audit], kind: int) -> None:
    """Packets of QUIC behind its Initial ones look encrypted; which suite protects them was chosen before."""
    ids = b"\x08" + bytes(range(8))
    packet = bytes([kind]) + b"\0\0\0\1" + ids + ids + bytes(1200)
    ends = ({"client": wire.CLIENT, "server": AWS}, {"client": AWS, "server": wire.CLIENT})
    packets = [wire.datagram(packet, 5000, 443, **ends[0]), wire.datagram(packet, 443, 5000, **ends[1])]
    told = audit_bytes(wire.pcap(packets))
    assert wire.only(told.flows)["protocol"] == "quic"
    assert [row["verdict"] for row in told.rows("verdicts", "rule", "verdict") if row["rule"] == "NET101"] == [
        "not_observable"
    ]
