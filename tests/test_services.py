"""Queues, databases, files, telephony and terminals: flows have the name of what they speak, and are judged by it."""

import struct
from collections.abc import Callable

import pandas as pd
import pytest
from scapy.layers.inet import IP, TCP

import auditor
from tests import wire

HELLO = wire.record(22, wire.client_hello())
ANSWER = wire.record(22, wire.server_hello())
Run = Callable[..., auditor.Audit]


def mongodb(operation: int, body: bytes, answers: int = 0) -> bytes:
    return struct.pack("<iiii", 16 + len(body), 7, answers, operation) + body


def call(procedure: int, credential: bytes, program: int = 100_003) -> bytes:
    """A call of ONC RPC over TCP; ``credential``: its kind and its body with a length."""
    body = struct.pack(">6I", 77, 0, 2, program, 4, procedure) + credential + bytes(8) + b"compound"
    return struct.pack(">I", 1 << 31 | len(body)) + body


def smb(command: int) -> bytes:
    return b"\0\0\0\x45\xfeSMB\x40\0\1\0" + bytes(4) + struct.pack("<H", command) + bytes(51)


def smb_1(command: int) -> bytes:
    return b"\0\0\0\x45\xffSMB" + bytes([command]) + bytes(64)


UNIX = struct.pack(">II", 1, 8) + bytes(8)
KERBEROS_ONLY_SIGNED = struct.pack(">II4I", 6, 20, 1, 0, 5, 2) + bytes(4)
KERBEROS_ENCRYPTED = struct.pack(">II4I", 6, 20, 1, 0, 5, 3) + bytes(4)
TLS_CREDENTIAL = struct.pack(">II", 7, 0)
AS_REQ = bytes.fromhex("6a 16 30 14 a1 03 02 01 05 a2 03 02 01 0a a4 08 30 06 a0 04 03 02 05 00".replace(" ", ""))
KRB_ERROR = bytes.fromhex("7e 81 0d 30 81 0a a0 03 02 01 05 a1 03 02 01 1e".replace(" ", ""))
CQL_STARTUP = b"\x04\0\0\1\x01" + struct.pack(">I", 22) + b"\0\1\0\x0bCQL_VERSION\0\x053.0.0"
NAME = b"\0\x0arest-proxy"
TNS = b"(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=orcl)))"
CONNECT = struct.pack(">HHBBH", 58 + len(TNS), 0, 1, 0, 0) + struct.pack(">HH", 319, 300) + bytes(46) + TNS

IN_CLEAR: dict[str, bytes] = {
    "mqtt": b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd",
    "mqtt, version 3.1": b"\x10\x12\0\6MQIsdp\3\2\0\x3c\0\4abcd",
    "mqtt, a long one": b"\x10\x90\x01\0\4MQTT\5\xc2\0\x3c" + bytes(134),
    "amqp": b"AMQP\0\0\x09\x01",
    "amqp, with SASL": b"AMQP\3\1\0\0",
    "stomp": b"CONNECT\naccept-version:1.2\nhost:q\n\n\0",
    "stomp, as it is called since 1.2": b"STOMP\r\naccept-version:1.2\r\n\r\n\0",
    "openwire": b"\0\0\0\xf0\x01ActiveMQ\0\0\0\x0c\1" + bytes(60),
    "kafka": struct.pack(">IHHI", 8 + len(NAME), 18, 0, 1) + NAME,
    "kafka, without a name": struct.pack(">IHHI", 10, 18, 0, 0) + b"\xff\xff",
    "kafka, metadata": struct.pack(">IHHI", 12 + len(NAME), 3, 9, 2) + NAME + bytes(4),
    "mongodb": mongodb(2013, bytes(5) + b"\x20\0\0\0\x10hello\0\1\0\0\0"),
    "mongodb, older": mongodb(2004, bytes(4) + b"admin.$cmd\0" + bytes(30)),
    "memcached": b"set key 0 900 5\r\nhello\r\n",
    "memcached, without an answer": b"add key 0 900 5 noreply\r\nhello\r\n",
    "memcached, statistics": b"stats\r\n",
    "memcached, ElastiCache's configuration": b"config get cluster\r\n",
    "memcached, binary": b"\x80\0\0\3\0\0\0\0\0\0\0\3" + bytes(12) + b"key",
    "cassandra": b"\x04\0\0\0\x05\0\0\0\0",
    "cassandra, at once": CQL_STARTUP,
    "nfs": call(1, UNIX),
    "nfs, signed by Kerberos": call(1, KERBEROS_ONLY_SIGNED),
    "telnet": b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27",
    "sip": b"REGISTER sips:example.org SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n\r\n",
    "sip, as HTTP has it": b"OPTIONS sip:example.org SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n\r\n",
    "sip, as Redis has it": b"SUBSCRIBE sip:example.org SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n\r\n",
    "rtsp": b"DESCRIBE rtsp://example.org/a RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "rtsp, as HTTP has it": b"OPTIONS rtsp://example.org/a RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "syslog": b"<34>1 2026-01-01T00:00:00Z host app - - - hello\n",
    "syslog, behind its length": b"48 <34>1 2026-01-01T00:00:00Z host app - - - hello",
    "fix": b"8=FIX.4.4\x019=65\x0135=A\x01",
}
NOT_IN_CLEAR: dict[str, tuple[bytes, str]] = {
    "smb": (smb(0), "not_observable"),
    "smb, version 1": (smb_1(0x72), "not_observable"),
    "smb-encrypted": (b"\0\0\0\x60\xfdSMB" + bytes(92), "not_observable"),
    "tns": (CONNECT, "not_observable"),
    "ike": (b"IKETCP" + struct.pack(">HI", 34, 0) + bytes(28), "not_observable"),
    "bgp": (b"\xff" * 16 + b"\0\x1d\1\4" + bytes(9), "not_applicable"),
    "kerberos": (struct.pack(">I", len(AS_REQ)) + AS_REQ, "not_applicable"),
}
UNNAMED: dict[str, bytes] = {
    "nothing but a number of MQTT's": b"\x10\x10\0\4MQTX\4\2\0\x3c\0\4abcd",
    "NFS's empty call, which comes before TLS, too": call(0, TLS_CREDENTIAL),
    "NFS that Kerberos encrypts": call(1, KERBEROS_ENCRYPTED),
    "another program's call": call(1, UNIX, 100_000),
    "a length that is not Kafka's": struct.pack(">IHHI", 9 + len(NAME), 18, 0, 1) + NAME,
    "a message too short for MongoDB": struct.pack("<iiii", 16, 1, 0, 2013),
    "a line like Memcached's without numbers": b"set key one two three\r\n",
    "a line that Redis has, too": b"get key\r\n",
    "a number like syslog's without brackets": b"48 34>1 2026-01-01T00:00:00Z host app - - - hello",
    "a byte of Telnet's": b"\xff\xff\xff\xff\xff\xff",
    "a frame of CQL's that is an answer": b"\x84\0\0\0\x06\0\0\0\0",
    "sixteen ones and no length": b"\xff" * 16 + b"\0\x01\1\4",
}
DATAGRAMS: dict[str, tuple[bytes, str]] = {
    "dhcp": (b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63\x35\1\1\xff", "not_applicable"),
    "ntp": (b"\xe3\0\3\xfa" + bytes(36) + b"\xea\1\2\3\4\5\6\7", "not_applicable"),
    "ntp, a server": (b"\x24\1\3\xe8\0\0\0\x10\0\0\0\x20GPS\0" + b"\xea\1\2\3\4\5\6\7" * 4, "not_applicable"),
    "snmp": (b"\x30\x26\2\1\1\4\6public\xa0\x19\2\1\1\2\1\0\2\1\0\x30\x0e\x30\x0c\6\x08\x2b\6\1\2\1\1\1\0\5\0", "fail"),
    "syslog": (b"<34>1 2026-01-01T00:00:00Z host app - - - hello", "fail"),
    "tftp": (b"\0\1boot.img\0OCTET\0", "fail"),
    "sip": (b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\n\r\n", "fail"),
    "ssdp": (b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n", "not_applicable"),
    "kerberos": (AS_REQ, "not_applicable"),
    "kerberos, an error": (KRB_ERROR, "not_applicable"),
    "dhcp, of IPv6": (b"\1\xaa\xbb\xcc\0\1\0\x0a\0\3\0\1" + bytes(6) + b"\0\x08\0\2\0\0", "not_applicable"),
    "dns, multicast": (
        bytes(4) + b"\0\2\0\0\0\0\0\0\5_http\4_tcp\5local\0\0\x0c\0\1\xc0\x0c\0\x21\0\1",
        "not_applicable",
    ),
    "dns, an answer by multicast": (
        b"\0\0\x84\0\0\0\0\1\0\0\0\0\1a\5local\0\0\1\x80\1\0\0\0\x78\0\4\xc0\0\2\1",
        "not_applicable",
    ),
    "dns, NetBIOS": (
        b"\x12\x34\1\x10\0\1" + bytes(6) + b"\x20" + b"CK" + b"A" * 30 + b"\0\0\x20\0\1",
        "not_applicable",
    ),
    "dns, an update": (b"\x12\x34\x28\0\0\1\0\0\0\1\0\0\7example\3org\0\0\6\0\1" + bytes(12), "not_applicable"),
    "bfd": (b"\x20\xc0\3\x18\0\0\0\1" + bytes(4) + b"\0\4\x93\xe0" * 2 + bytes(4), "not_applicable"),
    "ldap": (b"\x30\x16\2\1\1\x63\x11\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0", "fail"),
}


def datagram(message: bytes, sport: int = 4000) -> bytes:
    head = struct.pack(">HHHH", sport, 5555, 8 + len(message), 0)
    return wire.frame(wire.CLIENT, wire.SERVER, wire.UDP, head + message)


def verdict(result: auditor.Audit) -> str:
    """What the rule about encryption says of the one flow."""
    told = result.verdicts[result.verdicts["rule"] == "NET101"]  # which has no rows for what a rule is not about
    return "not_applicable" if told.empty else str(wire.only(told)["verdict"])


@pytest.mark.parametrize(
    ("asked", "protocol"),
    [(b"SUBSCRIBE /upnp/event HTTP/1.1\r\nHOST: a\r\n\r\n", "http"), (b"SUBSCRIBE news\r\n", "redis")],
)
def test_a_word_of_http_and_of_redis(audit_bytes: Run, asked: bytes, protocol: str) -> None:
    """A method of UPnP that is a command of Redis, too, is told by what follows it."""
    talk = wire.Talk(dport=5000).open().play([("c", asked)])
    assert list(audit_bytes(wire.pcap(talk.packets)).flows["protocol"]) == [protocol]


@pytest.mark.parametrize("name", IN_CLEAR)
def test_what_is_in_clear_is_named_and_fails(audit_bytes: Run, name: str) -> None:
    """The first message names the flow, wherever segments begin behind it, and what is in clear is not encrypted."""
    talk = wire.Talk(dport=5555).open().play([("c", IN_CLEAR[name]), ("s", b"\x20\x02\0\0"), ("c", b"\xc0\0")])
    result = audit_bytes(wire.pcap(talk.packets), all_traffic=True)
    assert wire.only(result.flows)["protocol"] == name.partition(",")[0]
    assert verdict(result) == "fail"


@pytest.mark.parametrize("name", NOT_IN_CLEAR)
def test_what_may_be_encrypted_or_need_not_be_does_not_fail(audit_bytes: Run, name: str) -> None:
    """What negotiates its encryption inside, or is open by nature, is named and does not fail."""
    message, expected = NOT_IN_CLEAR[name]
    result = audit_bytes(wire.pcap(wire.Talk().open().play([("c", message)]).packets), all_traffic=True)
    assert (wire.only(result.flows)["protocol"], verdict(result)) == (name.partition(",")[0], expected)


@pytest.mark.parametrize("name", UNNAMED)
def test_what_only_resembles_a_message_names_nothing(audit_bytes: Run, name: str) -> None:
    """A flow whose bytes only resemble a service's has no name, and is not called in clear."""
    result = audit_bytes(wire.pcap(wire.Talk().open().play([("c", UNNAMED[name])]).packets), all_traffic=True)
    assert pd.isna(wire.only(result.flows)["protocol"])
    assert verdict(result) == "not_observable"


@pytest.mark.parametrize(
    "name", [name for name in IN_CLEAR if name.startswith(("kafka", "memcached", "cassandra", "telnet"))]
)
def test_what_is_too_little_in_the_middle_of_a_stream(audit_bytes: Run, name: str) -> None:
    """What is known by few bytes is not looked for behind others, where any bytes may stand."""
    talk = wire.Talk().open().play([("c", b"\x9a\x01\x02\x03"), ("s", b"\x9b\x01"), ("c", IN_CLEAR[name])])
    assert pd.isna(wire.only(audit_bytes(wire.pcap(talk.packets)).flows)["protocol"])


@pytest.mark.parametrize("name", DATAGRAMS)
def test_datagrams_are_named(audit_bytes: Run, name: str) -> None:
    """A datagram names its flow by its form, on whichever port it is."""
    message, expected = DATAGRAMS[name]
    result = audit_bytes(wire.pcap([datagram(message)]), all_traffic=True)
    assert (wire.only(result.flows)["protocol"], verdict(result)) == (name.partition(",")[0], expected)


@pytest.mark.parametrize("name", DATAGRAMS)
def test_a_datagram_that_is_cut_names_nothing(audit_bytes: Run, name: str) -> None:
    """Any shorter beginning of a datagram is read without a fault, and names the same or nothing."""
    message, _ = DATAGRAMS[name]
    packets = [datagram(message[:size], sport=1024 + size) for size in range(1, len(message), 3)]
    named = {row["protocol"] for row in audit_bytes(wire.pcap(packets)).rows("flows", "protocol")}
    assert named <= {None, name.partition(",")[0]}


@pytest.mark.parametrize("name", [name for name in (*IN_CLEAR, *NOT_IN_CLEAR) if ", as " not in name])
def test_a_message_that_comes_in_pieces(audit_bytes: Run, name: str) -> None:
    """A beginning of any length is read without a fault, and names the same service or none."""
    message = IN_CLEAR[name] if name in IN_CLEAR else NOT_IN_CLEAR[name][0]
    packets = []
    for size in range(1, min(len(message), 64)):
        packets += wire.Talk(sport=20_000 + size).open().play([("c", message[:size])]).packets
    named = {row["protocol"] for row in audit_bytes(wire.pcap(packets)).rows("flows", "protocol")}
    assert named - {name.partition(",")[0]} <= {None}


@pytest.mark.parametrize("answer", [b"VALUE key 0 5\r\nhello\r\nEND\r\n", b"END\r\n"])
def test_an_answer_tells_memcached_from_redis(audit_bytes: Run, answer: bytes) -> None:
    """A get that either may be asked is Memcached's if it is answered so."""
    talk = wire.Talk().open().play([("c", b"get key\r\n"), ("s", answer)])
    assert wire.only(audit_bytes(wire.pcap(talk.packets)).flows)["protocol"] == "memcached"


def test_a_message_longer_than_its_segment(audit_bytes: Run) -> None:
    """A message of Kerberos in several segments is named by the first of them."""
    message = struct.pack(">I", len(AS_REQ) + 1500) + AS_REQ + bytes(1500)
    assert (
        wire.only(audit_bytes(wire.pcap(wire.Talk().open().play([("c", message)], 1400).packets)).flows)["protocol"]
        == "kerberos"
    )


def test_telnet_option_by_option(audit_bytes: Run) -> None:
    """Telnet's options are its beginning also where each comes alone."""
    options = [("s", b"\xff\xfd\x01"), ("c", b"\xff\xfc\x01"), ("s", b"\xff\xfb\x03"), ("c", b"\xff\xfe\x03")]
    talk = wire.Talk().open().play([*options, ("s", b"\xff\xfd\x1f\xff\xfd\x18"), ("c", b"\xff\xfc\x18\xff\xfc\x1f")])
    assert wire.only(audit_bytes(wire.pcap(talk.packets)).flows)["protocol"] == "telnet"


@pytest.mark.parametrize(
    ("first", "said"), [([("c", b"AMQP\2\1\0\0"), ("s", b"AMQP\2\1\0\0")], False), ([("c", IN_CLEAR["mqtt"])], True)]
)
def test_tls_behind_a_message(audit_bytes: Run, first: list[tuple[str, bytes]], said: bool) -> None:
    """AMQP's header asks for TLS and says nothing else; a message of a session in clear before TLS has been read."""
    talk = wire.Talk().open().play([*first, ("c", HELLO), ("s", ANSWER)])
    result = audit_bytes(wire.pcap(talk.packets), all_traffic=True)
    row = wire.only(result.handshakes)
    assert row["status"] == "complete"
    assert row["starttls"] in ("amqp", "mqtt")
    assert (verdict(result) == "fail") == said


SEALED = b"\0\0\0\x60\xfdSMB" + bytes(92)


@pytest.mark.parametrize(
    ("messages", "name", "expected"),
    [
        ([smb(0), smb(1), smb(3)], "smb", "not_observable"),
        ([smb(0), smb(1), smb(3), smb(5)], "smb-clear", "fail"),
        ([smb(0), smb(1), SEALED, SEALED], "smb-encrypted", "not_observable"),
        ([smb(0), smb(1), SEALED, smb(5)], "smb-clear", "fail"),  # of another share
        ([smb(0), smb(1), smb(8), SEALED], "smb-clear", "fail"),
        ([smb(0), smb(1), SEALED, smb(13)], "smb-encrypted", "not_observable"),  # an echo
        ([smb_1(0x72), smb_1(0x73), smb_1(0x75), smb_1(0xA2)], "smb-clear", "fail"),
        ([smb_1(0x72), smb_1(0x73)], "smb", "not_observable"),
    ],
)
def test_smb_in_clear_and_encrypted(audit_bytes: Run, messages: list[bytes], name: str, expected: str) -> None:
    """What is about files behind SMB's negotiation shows whether it is encrypted."""
    talk = wire.Talk().open().play([("c", message) for message in messages])
    result = audit_bytes(wire.pcap(talk.packets), all_traffic=True)
    assert (wire.only(result.flows)["protocol"], verdict(result)) == (name, expected)


ROOT = b"\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectclass\x30\0"
BIND = b"\x30\x1c\2\1\2\x60\x17\2\1\3\4\0\xa3\x10\4\x0aGSS-SPNEGO\4\2\x60\0"
WRAP = b"\6\x09\x2a\x86\x48\x86\xf7\x12\1\2\2\2\1"  # Kerberos, a token with contents
BOUND = b"\x30\x0c\2\1\2\x61\7\x0a\1\0\4\0\4\0"


@pytest.mark.parametrize(
    ("token", "name", "expected"),
    [
        (b"\5\4\6\xff\0\0\0\x1c" + bytes(8) + b"\x97\x22" * 40, "ldap-sasl", "not_observable"),
        (b"\5\4\4\xff\0\x0c\0\x0c" + bytes(8) + ROOT + bytes(12), "ldap", "fail"),  # signed alone
        (b"\x60\x60" + WRAP + b"\x11\0\x10\0\xff\xff" + bytes(77), "ldap-sasl", "not_observable"),
        (b"\x60\x81\xa0" + WRAP + b"\x11\0\xff\xff\xff\xff" + bytes(24) + ROOT * 2, "ldap", "fail"),
        (b"\1\0\0\0" + bytes(12) + b"\x97\x22" * 40, "ldap-sasl", "not_observable"),
        (b"\1\0\0\0" + bytes(12) + ROOT, "ldap", "fail"),
    ],
)
def test_ldap_that_sasl_encrypts(audit_bytes: Run, token: bytes, name: str, expected: str) -> None:
    """What goes on encrypted behind its bind is not called in clear; what is only signed is."""
    turns = [("c", ROOT), ("c", BIND), ("s", BOUND), ("c", struct.pack(">I", len(token)) + token)]
    result = audit_bytes(wire.pcap(wire.Talk().open().play(turns).packets), all_traffic=True)
    assert (wire.only(result.flows)["protocol"], verdict(result)) == (name, expected)


def test_who_answers_by_multicast_is_the_client_of_its_flow(audit_bytes: Run) -> None:
    """An answer that goes to a group was asked for by nobody that the flow shows: who sends it is the client."""
    message, _ = DATAGRAMS["dns, an answer by multicast"]
    assert wire.only(audit_bytes(wire.pcap([datagram(message, sport=34_746)])).flows)["client_port"] == 34_746


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([smb(0)], "whether it encrypts does not show: smb"),
        ([smb(0), SEALED], "SMB that encrypts, but not all of its shares need to"),
    ],
)
def test_the_reason_says_what_was_seen(audit_bytes: Run, messages: list[bytes], reason: str) -> None:
    """Of what encrypts by itself the reason does not say that it does not show."""
    talk = wire.Talk().open().play([("c", message) for message in messages])
    judged = audit_bytes(wire.pcap(talk.packets), all_traffic=True).verdicts
    assert wire.only(judged[judged["rule"] == "NET101"])["reason"] == reason


@pytest.mark.parametrize(("subtype", "protocol"), [(1, "mptcp"), (0, None)])
def test_subflows_of_multipath_tcp(audit_bytes: Run, subtype: int, protocol: str | None) -> None:
    """A subflow that joins a connection (RFC 8684 3.2) is named; one that begins it is what is spoken on it."""
    options = [("MSS", 1460), (30, bytes([subtype << 4 | 1]) + bytes(9))]
    opening = TCP(sport=40_000, dport=443, flags="S", seq=1000, options=options)
    talk = wire.Talk().open().play([("c", bytes(range(90, 190)))])
    packets = [bytes(wire.ETHERNET / IP(src=wire.CLIENT, dst=wire.SERVER) / opening), *talk.packets[1:]]
    result = audit_bytes(wire.pcap(packets), all_traffic=True)
    found = wire.only(result.flows)["protocol"]
    assert (None if pd.isna(found) else found) == protocol
    assert verdict(result) == "not_observable"
