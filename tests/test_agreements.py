"""What two sides agree on before a connection's contents decides whether it is called encrypted, in clear, or neither."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

import auditor
from auditor.recognise.numbers import APPLICATIONS
from tests import carriers, wire
from tests.test_encryption import DENIED, POST, SHAKE

Turns = list[tuple[str, bytes]]
NOISE = bytes((73 * k + (k * k >> 3)) % 256 for k in range(400))

VERSIONS = [("s", b"RFB 003.008\n"), ("c", b"RFB 003.008\n")]
SCREEN = [("c", b"\1"), ("s", struct.pack(">HH", 800, 600) + bytes(16) + b"\0\0\0\4host"), ("c", b"\3\0" + bytes(8))]
KEYS = [("s", b"\0\0\x08\0" + NOISE), ("c", b"\0\0\x08\0" + NOISE), ("s", b"\1\0" + NOISE[:256])]


def vnc(security: int, *then: tuple[str, bytes]) -> Turns:
    return [*VERSIONS, ("s", bytes([3, security, 2, 1])), ("c", bytes([security])), *then]


def vencrypt(kind: int, *then: tuple[str, bytes]) -> Turns:
    offered = [("s", b"\0\2"), ("c", b"\0\2"), ("s", struct.pack(">BBI", 0, 1, kind)), ("c", struct.pack(">I", kind))]
    return vnc(19, *offered, *then)


SSL, GSS = b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30"
STARTUP: Turns = [("c", b"\0\0\0\x11\0\3\0\0user\0me\0\0"), ("s", b"R\0\0\0\x08\0\0\0\0")]


def framed(token: bytes) -> bytes:
    return struct.pack(">I", len(token)) + token


SEALED = framed(b"\5\4\6\xff\0\0\0\x1c" + struct.pack(">Q", 1) + NOISE[:120])
SEALING: Turns = [("c", SEALED), ("s", SEALED), ("c", SEALED)]
DIGEST = framed(NOISE[:60] + NOISE[60:70] + b"\0\1\0\0\0\0")  # RFC 2831 2.4
ROOT = b"\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectclass\x30\0"
LDAP_BIND: Turns = [
    ("c", b"\x30\x1b\2\1\2\x60\x16\2\1\3\4\0\xa3\x0f\4\x0bDIGEST-MD5!\4\0"),
    ("s", b"\x30\x0c\2\1\2\x61\7\x0a\1\0\4\0\4\0"),
]
BOUND = ("s", b"\x30\x0c\2\1\2\x61\7\x0a\1\0\4\0\4\0")


def bind(mechanism: bytes, token: bytes) -> tuple[str, bytes]:
    """An LDAP bind by SASL (RFC 4511 4.2), whose lengths take three bytes each."""
    chosen = long_ber(4, mechanism) + long_ber(4, token)
    return "c", long_ber(0x30, b"\2\1\2" + long_ber(0x60, b"\2\1\3\4\0" + long_ber(0xA3, chosen)))


def long_ber(tag: int, contents: bytes) -> bytes:
    return struct.pack(">BBH", tag, 0x82, len(contents)) + contents


SEARCH = ("c", long_ber(0x30, b"\2\1\3" + long_ber(0x63, b"\4\x0cdc=x,dc=test" + NOISE[:40])))
SIMPLE = ("c", b"\x30\x17\2\1\5\x60\x12\2\1\3\4\5cn=me\x80\6secret")
START_TLS = ("c", b"\x30\x1d\2\1\1\x77\x18\x80\x161.3.6.1.4.1.1466.20037")
STARTED, NOT_STARTED = (("s", b"\x30\x0c\2\1\1\x78\7\x0a\1" + code + b"\4\0\4\0") for code in (b"\0", b"\2"))
IMAP: Turns = [
    ("s", b"* OK ready\r\n"),
    ("c", b"a1 AUTHENTICATE GSSAPI\r\n"),
    ("s", b"+ \r\n"),
    ("c", b"YIIC\r\n"),
    ("s", b"a1 OK\r\n"),
]
SMTP: Turns = [
    ("s", b"220 x ESMTP\r\n"),
    ("c", b"EHLO x\r\n"),
    ("s", b"250 AUTH GSSAPI\r\n"),
    ("c", b"AUTH GSSAPI YIIC\r\n"),
]
FTP: Turns = [
    ("s", b"220 FTP\r\n"),
    ("c", b"AUTH GSSAPI\r\n"),
    ("s", b"334 ok\r\n"),
    ("c", b"ADAT YIIC\r\n"),
    ("s", b"235 ok\r\n"),
]
POP3: Turns = [("s", b"+OK ready\r\n"), ("c", b"AUTH GSSAPI\r\n"), ("s", b"+ \r\n"), ("c", b"YIIC\r\n")]


def tds(client: int, server: int, then: Turns) -> Turns:
    options = [carriers.PRELOGIN + bytes([value]) for value in (client, server)]
    begin = [("c", carriers.tds_packet(0x12, options[0])), ("s", carriers.tds_packet(4, options[1]))]
    return [*begin, *((who, carriers.tds_packet(0x12, data)) for who, data in SHAKE[:4]), SHAKE[4], *then]


BATCH: Turns = [
    ("s", carriers.tds_packet(4, b"\xad" + NOISE[:90])),
    ("c", carriers.tds_packet(1, b"s\0e\0l\0e\0c\0t\0")),
]
TUNNEL: Turns = [
    ("c", b"CONNECT x.example:443 HTTP/1.1\r\nHost: x.example:443\r\n\r\n"),
    ("s", b"HTTP/1.1 200 OK\r\n\r\n"),
]
REFUSED = ("s", b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
SSH: Turns = [("s", b"SSH-2.0-x\r\n"), ("c", b"SSH-2.0-y\r\n"), ("c", NOISE), ("s", NOISE)]
# Each with the protocol that the flow is called, and what the rule about encryption says.
SCENES: dict[str, tuple[Turns, str, str]] = {
    "VNC, its versions alone": (VERSIONS, "vnc", "not_observable"),
    "VNC, security types offered": ([*VERSIONS, ("s", b"\2\5\2")], "vnc", "not_observable"),
    "VNC, no security": (vnc(1, *SCREEN), "vnc", "fail"),
    "VNC, a password": (vnc(2, ("s", NOISE[:16]), ("c", NOISE[:16]), *SCREEN), "vnc", "fail"),
    "VNC, RA2": (vnc(5, *KEYS, ("c", NOISE)), "vnc-encrypted", "not_observable"),
    "VNC, RA2ne": (vnc(6, *KEYS, *SCREEN), "vnc", "fail"),
    "VNC, RSA-AES-256": (vnc(129, *KEYS, ("c", NOISE)), "vnc-encrypted", "not_observable"),
    "VNC, RSA-AES-256 for the log-in": (vnc(130, *KEYS, *SCREEN), "vnc", "fail"),
    "VNC, Apple's log-in": (vnc(30, ("s", NOISE), ("c", NOISE), *SCREEN), "vnc", "fail"),
    "VNC, a type that nobody knows": (vnc(36, ("c", NOISE), ("s", NOISE)), "vnc", "not_observable"),
    "VNC, TLS": (vnc(18, *SHAKE), "tls", "pass"),
    "VNC, TLS that does not come": (vnc(18), "vnc", "not_observable"),
    "VNC 3.3": ([("s", b"RFB 003.003\n"), ("c", b"RFB 003.003\n"), ("s", b"\0\0\0\1"), *SCREEN], "vnc", "fail"),
    "VeNCrypt, TLS": (vencrypt(260, ("s", b"\1"), *SHAKE), "tls", "pass"),
    "VeNCrypt, a password": (vencrypt(256, ("c", b"\0\0\0\2\0\0\0\2mepw"), *SCREEN), "vnc", "fail"),
    "PostgreSQL, asked for TLS alone": ([("c", SSL)], "postgresql", "not_observable"),
    "PostgreSQL, TLS refused": ([("c", SSL), ("s", b"N"), *STARTUP], "postgresql", "fail"),
    "PostgreSQL, TLS agreed and not used": ([("c", SSL), ("s", b"S"), *STARTUP], "postgresql", "fail"),
    "PostgreSQL, asked for GSSAPI alone": ([("c", GSS)], "postgresql", "not_observable"),
    "PostgreSQL, GSSAPI": ([("c", GSS), ("s", b"G"), *SEALING], "postgresql-encrypted", "not_observable"),
    "PostgreSQL, GSSAPI refused": ([("c", GSS), ("s", b"N"), *STARTUP], "postgresql", "fail"),
    "PostgreSQL, TLS instead": ([("c", GSS), ("s", b"N"), ("c", SSL), ("s", b"S"), *SHAKE], "tls", "pass"),
    "LDAP, DIGEST-MD5": ([*LDAP_BIND, ("c", DIGEST), ("s", DIGEST)], "ldap-sasl", "not_observable"),
    "LDAP, DIGEST-MD5 that signs": ([*LDAP_BIND, ("c", framed(ROOT + NOISE[:10] + b"\0\1\0\0\0\0"))], "ldap", "fail"),
    "LDAP, a bind by DIGEST-MD5 alone": (LDAP_BIND, "ldap", "not_observable"),
    "LDAP, a bind by Kerberos alone": ([("c", ROOT), bind(b"GSSAPI", NOISE * 5), BOUND], "ldap", "not_observable"),
    "LDAP, Kerberos for the log-in": ([bind(b"GSS-SPNEGO", NOISE * 5), BOUND, SEARCH], "ldap", "fail"),
    "LDAP, Kerberos": ([bind(b"GSS-SPNEGO", NOISE * 5), BOUND, *SEALING], "ldap-sasl", "not_observable"),
    "LDAP, a password in SASL": ([bind(b"PLAIN", b"\0me\0secret"), BOUND], "ldap", "fail"),
    "LDAP, a password behind Kerberos": ([bind(b"GSSAPI", NOISE), BOUND, SIMPLE], "ldap", "fail"),
    "LDAP, StartTLS and no more": ([START_TLS, STARTED], "ldap", "not_observable"),
    "LDAP, StartTLS refused and no more": ([START_TLS, NOT_STARTED], "ldap", "not_observable"),
    "LDAP, StartTLS refused": ([START_TLS, NOT_STARTED, SIMPLE], "ldap", "fail"),
    "LDAP, StartTLS": ([START_TLS, STARTED, *SHAKE], "tls", "pass"),
    "TDS, TLS refused and no more": (tds(1, 2, [])[:2], "tds", "not_observable"),
    "TDS, TLS agreed on and no more": (tds(1, 1, [])[:2], "tds", "not_observable"),
    "TDS, TLS refused": ([*tds(1, 2, [])[:2], BATCH[1]], "tds", "fail"),
    "IMAP, Kerberos": ([*IMAP, *SEALING], "imap-sasl", "not_observable"),
    "IMAP, Kerberos for the log-in": ([*IMAP, ("c", b"a2 SELECT INBOX\r\n")], "imap", "fail"),
    "IMAP, NTLM that signs": ([*IMAP, ("c", framed(b"\1\0\0\0" + NOISE[:12] + b"a2 SELECT INBOX\r\n"))], "imap", "fail"),
    "SMTP, Kerberos": ([*SMTP, ("s", b"235 ok\r\n"), *SEALING], "smtp-sasl", "not_observable"),
    "POP3, DIGEST-MD5": ([*POP3, ("s", b"+OK\r\n"), ("c", DIGEST)], "pop3-sasl", "not_observable"),
    "TDS, TLS for the log-in": (tds(0, 0, BATCH), "tls", "fail"),
    "TDS, TLS for the log-in, which is all there is": (tds(0, 0, []), "tls", "not_observable"),
    "TDS, TLS for all": (tds(0, 1, [SHAKE[5], SHAKE[4]]), "tls", "pass"),
    "FTP, Kerberos": ([*FTP, ("c", b"ENC Rk9P"), ("c", b"Rk9P\r\n"), ("s", b"633 Rk9P\r\n")], "ftp-encrypted", "not_observable"),
    "FTP, Kerberos for the log-in": ([*FTP, ("c", b"ENC Rk9P\r\n"), ("c", b"PASV\r\n")], "ftp", "fail"),
    "FTP, signed by Kerberos": ([*FTP, ("c", b"MIC Rk9P\r\n"), ("s", b"631 Rk9P\r\n")], "ftp", "fail"),
    "CONNECT alone": (TUNNEL, "http", "not_observable"),
    "CONNECT, refused": ([TUNNEL[0], REFUSED], "http", "fail"),
    "CONNECT, asked for a password, then TLS": ([TUNNEL[0], REFUSED, *TUNNEL, *SHAKE], "tls", "pass"),
    "CONNECT, then TLS": ([*TUNNEL, *SHAKE], "tls", "pass"),
    "CONNECT, then SSH": ([*TUNNEL, *SSH], "ssh", "pass"),
    "CONNECT, then what nobody knows": ([*TUNNEL, ("c", NOISE), ("s", NOISE)], "http", "not_observable"),
    "CONNECT, then a request": ([*TUNNEL, ("c", POST), ("s", DENIED)], "http", "fail"),
    "CONNECT, then mail": ([*TUNNEL, *SMTP], "http", "fail"),
}  # fmt: skip


def told(run: Callable[..., auditor.Audit], packets: list[bytes]) -> dict[int, tuple[str, str]]:
    """For the port of each client what the flow is called by rules, and what the rule about encryption says of it."""
    result = run(wire.pcap(packets), all_traffic=True)
    verdicts = {
        row["flow_id"]: row["verdict"]
        for row in result.rows("verdicts", "flow_id", "rule", "verdict")
        if row["rule"] == "NET101"
    }
    rows = result.rows("flows", "flow_id", "client_port", "protocol", "tls_version")
    names = {row["flow_id"]: "tls" if row["tls_version"] else row["protocol"] for row in rows}
    return {row["client_port"]: (names[row["flow_id"]], verdicts.get(row["flow_id"], "not_applicable")) for row in rows}


def test_what_was_agreed_on_decides(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Nothing that encrypts by itself is called in clear, nothing in clear encrypted, and a beginning alone neither."""
    packets: list[bytes] = []
    for port, (turns, _, _) in enumerate(SCENES.values(), 20_000):
        packets += wire.Talk(sport=port, dport=5555).open().play(turns).close().packets
    found = told(audit_bytes, packets)
    expected = {name: (protocol, verdict) for name, (_, protocol, verdict) in SCENES.items()}
    assert {name: found[port] for port, name in enumerate(SCENES, 20_000)} == expected


def test_numbers_of_applications_are_their_own() -> None:
    """No two applications share a number or a name."""
    assert len({one.number for one in APPLICATIONS}) == len({one.name for one in APPLICATIONS}) == len(APPLICATIONS)


def ber(tag: int, contents: bytes) -> bytes:
    return (
        bytes([tag, len(contents)]) + contents if len(contents) < 128 else bytes([tag, 0x81, len(contents)]) + contents
    )


def snmp_3(flags: int, user: bytes = b"me", pdu: int = 0xA0) -> bytes:
    """A message of SNMPv3 with the user-based security model (RFC 3412 6, RFC 3414 2.4)."""
    head = ber(0x30, b"\2\1\1\2\3\0\xff\xe3\4\1" + bytes([flags]) + b"\2\1\3")
    security = ber(0x30, b"\4\5\x80\0\0\0\1\2\1\1\2\1\1" + ber(4, user) + ber(4, NOISE[:12]) + ber(4, NOISE[:8]))
    scoped = ber(0x30, b"\4\5\x80\0\0\0\1\4\0" + ber(pdu, b"\2\1\1\2\1\0\2\1\0\x30\0"))
    return ber(0x30, b"\2\1\3" + head + ber(4, security) + (ber(4, NOISE[:56]) if flags & 2 else scoped))


def test_snmp_3(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Of SNMPv3 the messages after the search for the engine decide: with privacy it encrypts, without it is in clear."""
    search = [snmp_3(4, b""), snmp_3(0, b"", 0xA8)]
    scenes = {
        ("snmp-encrypted", "not_observable"): [*search, snmp_3(7), snmp_3(3)],
        ("snmp", "fail"): [*search, snmp_3(5), snmp_3(1, pdu=0xA2)],
        (None, "not_observable"): search,
    }
    packets = []
    for port, messages in enumerate(scenes.values(), 30_000):
        for turn, message in enumerate(messages):
            ends: dict[str, Any] = {"client": wire.SERVER, "server": wire.CLIENT} if turn % 2 else {}
            packets.append(wire.datagram(message, *((161, port) if turn % 2 else (port, 161)), **ends))
    assert list(told(audit_bytes, packets).values()) == list(scenes)


@pytest.mark.parametrize(("answered", "expected"), [(False, "not_observable"), (True, "pass")])
def test_tunnels_that_nobody_answers(audit_bytes: Callable[..., auditor.Audit], answered: bool, expected: str) -> None:
    """An attempt at WireGuard that nobody answers has encrypted nothing; what both sides agreed on has."""
    packets = [wire.datagram(b"\1\0\0\0" + NOISE[:144], 30_000, 51_820)] * 3
    if answered:
        answer = b"\2\0\0\0" + NOISE[:88]
        packets.append(wire.datagram(answer, 51_820, 30_000, client=wire.SERVER, server=wire.CLIENT))
    assert told(audit_bytes, packets) == {30_000: ("wireguard", expected)}


def test_tls_for_the_log_in_passes_no_policy(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Where what follows the log-in is not in the capture, no policy passes the flow, and why is told."""
    packets = wire.Talk(dport=1433).open().play(tds(0, 0, [])).packets
    result = audit_bytes(wire.pcap(packets), policy="nist-800-52r2", all_traffic=True)
    assert wire.only(result.flows)["verdict"] != "pass"
