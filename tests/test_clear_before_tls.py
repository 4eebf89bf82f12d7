"""A log-in, or commands with contents, before STARTTLS: TLS protects only what follows it."""

import struct
from collections.abc import Callable

import pytest

import auditor
from auditor.recognise.commands import COMMAND_WORDS
from auditor.recognise.numbers import PROTOCOL_NAMES
from tests import wire
from tests.test_encryption import AWS, SHAKE

Flights = list[tuple[str, bytes]]
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
CONNECT = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"
UPGRADE = b"Host: p\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n"
ESTABLISHED = ("s", b"HTTP/1.1 200 Connection established\r\n\r\n")
SOCKS: Flights = [("c", b"\5\1\0"), ("s", b"\5\0"), ("c", b"\5\1\0\3\1a\1\xbb"), ("s", b"\5\0\0\1" + bytes(6))]
SOCKS_PASSWORD: Flights = [("c", b"\5\1\2"), ("s", b"\5\2"), ("c", b"\1\4user\4pass"), ("s", b"\1\0"), *SOCKS[2:]]


def talk(greeting: bytes, said: tuple[bytes, ...], reply: bytes, ask: bytes, go: bytes) -> Flights:
    """A greeting, commands with their replies, the request for TLS, and a handshake."""
    turns = [turn for command in said for turn in (("c", command), ("s", reply))]
    first = [("s", greeting)] if greeting else []
    return [*first, *turns, ("c", ask), ("s", go), *SHAKE]


def smtp(*said: bytes, greeting: bytes = b"220 mail.example ESMTP\r\n") -> Flights:
    return talk(greeting, (b"EHLO x\r\n", *said), b"250-x\r\n250 STARTTLS\r\n", b"STARTTLS\r\n", b"220 go\r\n")


def imap(*said: bytes) -> Flights:
    return talk(b"* OK [CAPABILITY STARTTLS] x\r\n", said, b"a OK\r\n", b"z STARTTLS\r\n", b"z OK\r\n")


def pop3(*said: bytes) -> Flights:
    return talk(b"+OK ready\r\n", said, b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n", b"STLS\r\n", b"+OK\r\n")


def ftp(*said: bytes, greeting: bytes = b"220 FTP server\r\n") -> Flights:
    return talk(greeting, said, b"331 go on\r\n", b"AUTH TLS\r\n", b"234 go\r\n")


def nntp(*said: bytes) -> Flights:
    return talk(b"200 news.example\r\n", said, b"381 go on\r\n", b"STARTTLS\r\n", b"382 go\r\n")


def sieve(*said: bytes) -> Flights:
    return talk(b'"IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK\r\n', said, b"OK\r\n", b"STARTTLS\r\n", b"OK\r\n")


def irc(*said: bytes) -> Flights:
    return talk(b"", said, b":x 001 me :hi\r\n", b"STARTTLS\r\n", b":x 670 me :go\r\n")


def xmpp(*said: bytes, stream: bytes = b"stream:stream") -> Flights:
    features = b"<stream:stream><stream:features><starttls/><mechanisms/></stream:features>"
    begin = b"<?xml version='1.0'?><" + stream + b" to='example.org'>"
    return talk(b"", (begin, *said), features, b"<starttls xmlns='x'/>", b"<proceed/>")


def tlv(tag: int, contents: bytes, long: bool = False) -> bytes:
    """BER with a length of one octet, or of five as Microsoft writes it."""
    return bytes([tag]) + (b"\x84" + struct.pack(">I", len(contents)) if long else bytes([len(contents)])) + contents


def asked(operation: bytes, long: bool = False) -> bytes:
    return tlv(0x30, tlv(2, b"\2") + operation, long)


def search(base: bytes, scope: int) -> bytes:
    return tlv(0x63, tlv(4, base) + tlv(10, bytes([scope])) + b"\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\1a0\0")


BIND = tlv(0x60, b"\2\1\3" + tlv(4, b"cn=admin") + tlv(0x80, b"secret"))
ANONYMOUS = tlv(0x60, b"\2\1\3" + tlv(4, b"") + tlv(0x80, b""))
SASL = tlv(0x60, b"\2\1\3" + tlv(4, b"") + tlv(0xA3, tlv(4, b"PLAIN") + tlv(4, b"\0user\0pass")))
ROOT = search(b"", 0)


def ldap(*said: bytes) -> Flights:
    start = asked(tlv(0x77, tlv(0x80, b"1.3.6.1.4.1.1466.20037")))
    return talk(b"", said, asked(tlv(0x61, b"\x0a\1\0\4\0\4\0")), start, asked(tlv(0x78, b"\x0a\1\0\4\0\4\0")))


def startup(first: bytes) -> Flights:
    body = struct.pack(">I", 196_608) + b"user\0me\0\0"
    return [("c", first + struct.pack(">I", len(body) + 4) + body), ("s", b"S"), *SHAKE]


LOG_INS = {
    "smtp": smtp(b"AUTH PLAIN AHUAcA==\r\n"),
    "smtp, step by step": smtp(b"auth login\r\n", b"dXNlcg==\r\n", b"cGFzcw==\r\n"),
    "smtp, pipelined": smtp(b"NOOP\r\nAUTH PLAIN AHUAcA==\r\n"),
    "smtp, not named": smtp(b"AUTH PLAIN AHUAcA==\r\n", greeting=b"220 welcome\r\n"),
    "imap": imap(b"a LOGIN user pass\r\n"),
    "imap, literals": imap(b"a login {4}\r\n", b"user {4}\r\n", b"pass\r\n"),
    "imap, mechanism": imap(b"a AUTHENTICATE PLAIN\r\n", b"AHUAcA==\r\n"),
    "imap, with the request": [*imap()[:1], ("c", b"a STARTTLS\r\nb LOGIN u p\r\n"), *imap()[2:]],
    "imap, behind a PROXY header": [("c", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 143\r\n"), *imap(b"a LOGIN u p\r\n")],
    "pop3": pop3(b"USER user\r\n", b"PASS pass\r\n"),
    "pop3, digest": pop3(b"APOP user 0123456789abcdef\r\n"),
    "ftp": ftp(b"USER user\r\n", b"PASS pass\r\n"),
    "ftp, not named": ftp(b"USER user\r\n", greeting=b"220 welcome\r\n"),
    "nntp": nntp(b"AUTHINFO USER x\r\n", b"AUTHINFO PASS y\r\n"),
    "sieve": sieve(b'AUTHENTICATE "PLAIN" "AHUAcA=="\r\n'),
    "irc": irc(b"PASS secret\r\nNICK me\r\n"),
    "xmpp": xmpp(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHUAcA==</auth>"),
    "ldap": ldap(asked(BIND)),
    "ldap, long lengths": ldap(asked(BIND, long=True)),
    "ldap, mechanism": ldap(asked(SASL)),
    "ldap, pipelined": ldap(asked(ROOT) + asked(BIND)),
    "postgresql": startup(SSL_REQUEST),
    "http, imap behind it": [("c", CONNECT + b"\r\n"), ESTABLISHED, *imap(b"a LOGIN u p\r\n")],
    "pop3, behind SOCKS": [*SOCKS, *pop3(b"USER user\r\n", b"PASS pass\r\n")],
    "a protocol that is not known": talk(b"hello\r\n", (b"LOGIN bob secret\r\n",), b"ok\r\n", b"GO\r\n", b"ok\r\n"),
}
COMMANDS = {
    "smtp": smtp(b"MAIL FROM:<a@example.org>\r\n"),
    "smtp, injected": [*smtp()[:3], ("c", b"STARTTLS\r\nMAIL FROM:<a@example.org>\r\n"), *smtp()[4:]],
    "imap": imap(b"a SELECT inbox\r\n"),
    "pop3": pop3(b"STAT\r\n"),
    "ftp": ftp(b"PWD\r\n"),
    "nntp": nntp(b"GROUP a.b\r\n"),
    "irc": irc(b"NICK me\r\n", b"PRIVMSG #a :hi\r\n"),
    "xmpp": xmpp(b"<message to='x'><body>hi</body></message>"),
    "ldap": ldap(asked(search(b"dc=example", 2))),
    "http": [("c", b"GET /a?b=c HTTP/1.1\r\n" + UPGRADE + b"\r\n"), ("s", b"HTTP/1.1 101 Switching\r\n\r\n"), *SHAKE],
}
NOTHING = {
    "smtp": smtp(b"NOOP\r\n", b"AUTH\r\n"),
    "smtp, the hello with the request": [*smtp()[:3], ("c", b"STARTTLS\r\n" + SHAKE[0][1]), ("s", b"220\r\n"), *SHAKE[1:]],
    "imap": imap(b"a CAPABILITY\r\n", b'b ID ("name" "x")\r\n'),
    "pop3": pop3(b"AUTH\r\n", b"CAPA\r\n"),
    "ftp": ftp(b"FEAT\r\n"),
    "nntp": nntp(b"CAPABILITIES\r\n"),
    "sieve": sieve(b"CAPABILITY\r\n"),
    "irc": irc(b"CAP LS\r\nNICK me\r\nUSER a b c :d\r\n"),
    "xmpp": xmpp(),
    "xmpp, another prefix": xmpp(stream=b"s:stream"),
    "ldap": ldap(asked(ROOT), asked(ANONYMOUS), asked(ROOT, long=True)),
    "postgresql": [("c", SSL_REQUEST), ("s", b"S"), *SHAKE],
    "http": [("c", CONNECT + b"User-Agent: x\r\n\r\n"), ESTABLISHED, *SHAKE],
    "http, with the proxy's password": [("c", CONNECT + b"Proxy-Authorization: Basic dTpw\r\n\r\n"), ESTABLISHED, *SHAKE],
    "socks": [*SOCKS, *SHAKE],
    "socks, with the proxy's password": [*SOCKS_PASSWORD, *SHAKE],
}  # fmt: skip


def judged(run: Callable[..., auditor.Audit], flights: Flights, size: int) -> tuple[str, str]:
    """What NET101 says of a flow whose turns before the handshake come in segments of ``size`` bytes."""
    before = [(who, data[at : at + size]) for who, data in flights[:-6] for at in range(0, len(data), size)]
    told = run(wire.pcap(wire.Talk(server=AWS).open().play([*before, *flights[-6:]]).close().packets))
    [found] = [row for row in told.rows("verdicts", "rule", "verdict", "reason") if row["rule"] == "NET101"]
    return str(found["verdict"]), str(found["reason"])


@pytest.mark.parametrize("size", [1460, 5])
@pytest.mark.parametrize("scene", LOG_INS)
def test_a_log_in_before_tls_fails(audit_bytes: Callable[..., auditor.Audit], scene: str, size: int) -> None:
    """Who logs in before STARTTLS has shown the password, however its bytes are cut into segments."""
    verdict, reason = judged(audit_bytes, LOG_INS[scene], 1460 if scene == "postgresql" else size)
    assert verdict == "fail"
    assert reason == f"in clear before TLS had begun: a log-in of {scene.partition(',')[0]}"


@pytest.mark.parametrize("scene", COMMANDS)
def test_contents_before_tls_fail(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """Commands that say something, sent before STARTTLS or in its segment, were in clear."""
    verdict, reason = judged(audit_bytes, COMMANDS[scene], 1460)
    assert (verdict, reason) == (
        "fail",
        f"in clear before TLS had begun: commands of {scene.partition(',')[0]}",
    )


@pytest.mark.parametrize("size", [1460, 5])
@pytest.mark.parametrize("scene", NOTHING)
def test_what_asks_for_tls_passes(audit_bytes: Callable[..., auditor.Audit], scene: str, size: int) -> None:
    """Greetings, lists of capabilities and the request for TLS have to be in clear.

    Who logs in to a proxy has said nothing to the server behind it: that is between the two, and common.
    """
    assert judged(audit_bytes, NOTHING[scene], 1460 if scene.startswith("socks") else size)[0] == "pass"


def test_text_of_a_protocol_that_is_not_known(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Whether text before TLS asks for it, or says something, nobody can tell."""
    flights = talk(b"hello\r\n", (b"SEND 500 to bob\r\n",), b"ok\r\n", b"GOTLS\r\n", b"ok\r\n")
    assert judged(audit_bytes, flights, 1460) == (
        "not_observable",
        "in clear before TLS had begun: text of a protocol that is not known",
    )


def test_each_word_belongs_to_a_protocol() -> None:
    """The table has each word of a protocol once, in small letters."""
    assert all(one.application in PROTOCOL_NAMES or not one.application for one in COMMAND_WORDS)
    words = [(one.application, one.text) for one in COMMAND_WORDS]
    assert len(set(words)) == len(words)
    assert all(text == text.lower() for _, text in words)


MIDDLE = {
    "smtp": [("c", b"STARTTLS\r\n"), ("s", b"220 2.0.0 Ready to start TLS\r\n")],
    "imap": [("c", b"a1 starttls\r\n"), ("s", b"a1 OK Begin TLS negotiation now\r\n")],
    "pop3": [("c", b"STLS\r\n"), ("s", b"+OK Begin TLS negotiation\r\n")],
    "ftp": [("c", b"AUTH TLS\r\n"), ("s", b"234 AUTH TLS OK.\r\n")],
    "nntp": [("c", b"STARTTLS\r\n"), ("s", b"382 Continue with TLS negotiation\r\n")],
    "sieve": [("c", b"STARTTLS\r\n"), ("s", b'OK "Begin TLS negotiation now."\r\n')],
    "irc": [("c", b"STARTTLS\r\n"), ("s", b":irc.example 670 me :STARTTLS successful\r\n")],
    "xmpp": [
        ("c", b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        ("s", b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    ],
}


@pytest.mark.parametrize("protocol", MIDDLE)
def test_a_capture_that_begins_at_starttls(audit_bytes: Callable[..., auditor.Audit], protocol: str) -> None:
    """The server's reply tells the protocol; what was said before is not in the capture, so that it does not pass."""
    data = wire.pcap(wire.Talk(server=AWS).play([*MIDDLE[protocol], *SHAKE]).packets)
    told = audit_bytes(data)
    assert [row["starttls"] for row in told.rows("handshakes", "starttls")] == [protocol]
    said = {row["rule"]: (row["verdict"], row["reason"]) for row in told.rows("verdicts", "rule", "verdict", "reason")}
    assert said["NET101"] == ("not_observable", f"in clear before TLS had begun: an unseen beginning of {protocol}")


@pytest.mark.parametrize("protocol", MIDDLE)
def test_a_capture_that_begins_at_the_reply(audit_bytes: Callable[..., auditor.Audit], protocol: str) -> None:
    """Where the reply alone is there, what it answers, and what was said before, is not: it does not pass either."""
    told = audit_bytes(wire.pcap(wire.Talk(server=AWS).play([MIDDLE[protocol][1], *SHAKE]).packets))
    said = {row["rule"]: (row["verdict"], row["reason"]) for row in told.rows("verdicts", "rule", "verdict", "reason")}
    assert said["NET101"][0] == "not_observable"
    assert "in clear before TLS had begun: an unseen beginning of " in said["NET101"][1]


REFUSALS = {
    "smtp": b"454 TLS not available\r\n",
    "imap": b"a1 BAD no\r\n",
    "pop3": b"-ERR no\r\n",
    "nntp": b"580 no\r\n",
    "sieve": b'NO "no"\r\n',
    "irc": b":irc.example 691 me :STARTTLS failed\r\n",
}


@pytest.mark.parametrize("protocol", REFUSALS)
def test_a_capture_that_begins_at_a_refusal(audit_bytes: Callable[..., auditor.Audit], protocol: str) -> None:
    """A refusal tells the protocol as well, and the session stays in clear."""
    data = wire.pcap(wire.Talk(server=AWS).play([MIDDLE[protocol][0], ("s", REFUSALS[protocol])]).packets)
    told = audit_bytes(data)
    assert [row["protocol"] for row in told.rows("flows", "protocol")] == [protocol]
    assert [row["verdict"] for row in told.rows("verdicts", "rule", "verdict") if row["rule"] == "NET101"] == ["fail"]
