"""What happened to a ClientHello: the TCP timeline of hellos that get through and of those that do not."""

import random
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

import auditor
from auditor.reading import following
from auditor.tables.columns import mixed
from auditor.tls import hello_tries
from auditor.tls.hello_tries import TRY, HelloTries
from tests import wire

LARGE = wire.record(
    22,
    wire.client_hello(
        extensions=wire.extension(51, b"\x04\xc4" + b"\x11\xec\x04\xc0" + bytes(1216)) + wire.extension(21, bytes(400))
    ),
)
SMALL = wire.record(22, wire.client_hello())
ANSWER = wire.record(22, wire.server_hello())
Array = np.ndarray[Any, Any]
Run = Callable[..., auditor.Audit]


def try_of(flow: int, started: int, sent: int, *, pair: int = 0, answered: bool = True) -> Array:
    """What is noted of one hello."""
    row = np.zeros(1, TRY)
    row["pair"] = mixed(np.array([pair]))
    row["client_low"], row["capture"], row["frame"] = pair, -1, 7
    row["flow"], row["started"], row["sent"], row["answered"] = flow, started, sent, answered
    return row


def opened(sport: int = 40_000) -> wire.Talk:
    """A connection whose SYNs name a maximum segment size of 1460."""
    talk = wire.Talk(sport=sport).open()
    for at in (0, 1):
        packet = Ether(talk.packets[at])
        packet[TCP].options = [("MSS", 1460)]
        del packet[TCP].chksum, packet[TCP].dataofs, packet[IP].len, packet[IP].chksum
        talk.packets[at] = bytes(packet)
    return talk


def with_ttl(packet: bytes, ttl: int) -> bytes:
    changed = Ether(packet)
    changed[IP].ttl = ttl
    del changed[IP].chksum
    return bytes(changed)


def hello(talk: wire.Talk, data: bytes = LARGE) -> list[int]:
    """Send a hello in segments; the sequence number of each."""
    begins = []
    for at in range(0, len(data), 1460):
        begins.append(talk.next[0])
        talk.send(0, data[at : at + 1460])
    return begins


def outcome(result: auditor.Audit) -> dict[str, Any]:
    return wire.only(result.handshakes)


def verdict(result: auditor.Audit, rule: str = "TLS105") -> tuple[str, str]:
    row = wire.only(result.verdicts[result.verdicts["rule"] == rule])
    return row["verdict"], row["reason"]


def test_a_large_hello_that_is_answered(audit_bytes: Run) -> None:
    """The good case: two segments, an answer, nothing to warn of."""
    talk = opened()
    hello(talk)
    talk.send(1, ANSWER)
    result = audit_bytes(wire.pcap(talk.packets))
    row = outcome(result)
    assert (row["hello_outcome"], row["client_hello_segments"], row["mss"]) == ("answered", 2, 1460)
    assert row["hello_acknowledged"] == len(LARGE)
    assert verdict(result)[0] == "pass"


def test_its_second_segment_is_lost(audit_bytes: Run) -> None:
    """Sent again and again, and only the first segment is acknowledged: lost, with the packets."""
    talk = opened()
    begins = hello(talk)
    first = talk.next[0]
    for _ in range(3):
        talk.next[0] = begins[1]
        talk.send(1, flags="A")
        talk.next[0] = first
        talk.send(0, LARGE[1460:], at=begins[1])
    result = audit_bytes(wire.pcap(talk.packets))
    row = outcome(result)
    assert (row["hello_outcome"], row["hello_repeats"], row["hello_acknowledged"]) == ("lost", 3, 1460)
    said, reason = verdict(result)
    assert said == "warn"
    assert f"ClientHello of {len(LARGE)} bytes (maximum segment size 1460): lost, 3 segments sent again" in reason
    finding = wire.only(result.findings[result.findings["rule"] == "TLS105"])
    assert str(7) in finding["sample_frames"].split()  # the first segment that was sent again


def test_acknowledged_and_not_answered(audit_bytes: Run) -> None:
    """The server has all of it and says nothing, for longer than an answer takes; where the capture ends before that, nobody knows.

    (Without that time the first answer was expected here: a capture that ends behind an acknowledgement does not show it.)
    """
    talk = opened()
    hello(talk)
    talk.send(1, flags="A")
    begin = 1_700_000_000 * wire.SECOND
    stamped = [(begin + at, packet) for at, packet in enumerate(talk.packets)]
    late = "acknowledged when the capture ended"
    for seconds, expected, warned in ((4, late, "not_observable"), (6, "acknowledged, not answered", "warn")):
        end = (begin + seconds * wire.SECOND, wire.datagram(b"x"))
        result = audit_bytes(wire.pcap([*stamped, end]))
        assert outcome(result)["hello_outcome"] == expected
        assert verdict(result)[0] == warned


def test_an_answer_that_is_lost(audit_bytes: Run) -> None:
    """A client that goes on had an answer, also where the capture has lost it; what it sends as early data proves none."""
    early = wire.record(22, wire.client_hello(extensions=wire.extension(42, b"")))
    for first, expected in ((SMALL, "answered"), (early, "not known")):
        talk = opened().play([("c", first), ("s", ANSWER), ("c", wire.record(20, b"\1") + wire.record(23, bytes(60)))])
        del talk.packets[4]
        assert outcome(audit_bytes(wire.pcap(talk.packets)))["hello_outcome"] == expected


# What a server that speaks no TLS says to a hello, by what it is called.
ANSWERS = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "smtp": b"220 mail.example.org ESMTP\r\n",
    "imap": b"* OK IMAP4rev1 ready\r\n",
    "pop3": b"+OK ready\r\n",
    "socks": b"\5\xff",
    "postgresql": b"E\0\0\0\x2eSFATAL\0C0A000\0Munsupported protocol here\0\0",
    "mysql": b"\x16\0\0\1\xff\x13\4#08S01Bad handshake",
    "http2": b"\0\0\x0c\4\0\0\0\0\0" + bytes(12),
    "mqtt": b"\x20\2\0\1",
    "telnet": b"\xff\xfd\x18\xff\xfd\x20",
    "tds": b"\4\1\0\x2b\0\0\1\0" + bytes(35),
    "text": "geht nicht".encode("utf-16-le"),
    "unknown": b"\x99",
}


def test_what_came_back(audit_bytes: Run) -> None:
    """What answers a hello and is no TLS is named, and rules say it; text in a RST is no answer (RFC 9293 3.5.3)."""
    packets, ports = [], dict(enumerate(ANSWERS, 41_000))
    for port, name in ports.items():
        packets += opened(port).play([("c", SMALL), ("s", ANSWERS[name])]).packets
    reset = opened().play([("c", SMALL)])
    reset.send(1, ANSWERS["http"], flags="RA")
    result = audit_bytes(wire.pcap([*packets, *reset.packets]), all_traffic=True)
    flows = {row["flow_id"]: row["client_port"] for row in result.rows("flows", "flow_id", "client_port")}
    outcomes = {
        flows[row["flow_id"]]: row["hello_outcome"] for row in result.rows("handshakes", "flow_id", "hello_outcome")
    }
    assert outcomes.pop(40_000) == "reset by the server"
    assert outcomes == {port: f"answered by something that is no TLS: {name}" for port, name in ports.items()}
    verdicts = result.rows("verdicts", "flow_id", "rule", "reason")
    reasons = {flows[row["flow_id"]]: row["reason"] for row in verdicts if row["rule"] == "NET101"}
    # in the same words by all rules, so that it is one line for people
    unseen = {row["reason"] for row in verdicts if row["rule"] in ("TLS101", "TLS102", "TLS106")}
    assert unseen == {"no ServerHello was seen"}
    assert reasons.pop(40_000) == "the TLS handshake did not come to its end"
    words = {"unknown": "not recognised"}  # the name alone read as if it were what answered
    assert reasons == {
        port: f"the ClientHello was answered without TLS: {words.get(name, name)}" for port, name in ports.items()
    }


@pytest.mark.parametrize(("ttl", "expected"), [(64, "reset by the server"), (255, "reset on the way")])
def test_who_sent_the_reset(audit_bytes: Run, ttl: int, expected: str) -> None:
    """A RST with the TTL of the server's other packets is the server's; another TTL is something between."""
    talk = opened()
    hello(talk)
    talk.packets.append(with_ttl(talk.send(1, flags="RA"), ttl))
    del talk.packets[-2]
    result = audit_bytes(wire.pcap(talk.packets))
    assert outcome(result)["hello_outcome"] == expected
    finding = wire.only(result.findings[result.findings["rule"] == "TLS105"])
    assert str(len(talk.packets)) in finding["sample_frames"].split()


def two_tries() -> tuple[wire.Talk, wire.Talk]:
    """A hello that is answered by RST, and a smaller one of the same client that comes through."""
    talk = opened()
    hello(talk)
    talk.send(1, flags="RA")
    again = opened(sport=40_001)
    hello(again, SMALL)
    again.send(1, ANSWER)
    return talk, again


def test_a_smaller_second_try(audit_bytes: Run) -> None:
    """The same client comes through with a smaller hello: the finding says so, with its frame."""
    talk, again = two_tries()
    result = audit_bytes(wire.pcap(talk.packets + again.packets))
    finding = wire.only(result.findings[result.findings["rule"] == "TLS105"])
    assert f"a smaller one of {len(SMALL)} bytes (frame 10) was answered" in finding["reason"]


@pytest.mark.parametrize(("size", "is_later", "said"), [(300, True, True), (300, False, False), (1700, True, False)])
def test_tries_in_pieces(monkeypatch: pytest.MonkeyPatch, size: int, is_later: bool, said: bool) -> None:
    """Whatever batch, file or worker has the flow that came through, it is named if it was later and smaller; of very many some."""
    source, bound = random.Random(size), 40
    failed = [try_of(at, 5 + at, 1600, answered=False) for at in range(6)]
    others = [try_of(1000 + at, at, 200 + at % 7, pair=1 + at % 9) for at in range(30)]
    lost = [try_of(2000 + at, at, 900, pair=100 + at, answered=False) for at in range(400)]
    came = [try_of(500, 90 if is_later else 1, size)]

    def together(tries: list[Array], pieces: int) -> dict[int, str]:
        source.shuffle(tries)
        parts = [HelloTries({"a": 0}, tries[at::pieces]) for at in range(pieces)]
        return reduce(HelloTries.merge, parts, HelloTries()).smaller()

    expected = dict.fromkeys(range(6), "a smaller one of 300 bytes (frame 7) was answered") if said else {}
    assert together([*failed, *others, *came], 1) == together([*failed, *others, *came], 5) == expected
    monkeypatch.setattr(hello_tries, "MOST", bound)
    few = [together([*failed, *others, *came, *lost], pieces) for pieces in (1, 2, 7, 30)]
    assert few == [few[0]] * 4


def test_a_batch_for_each_flow(audit_bytes: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second try is known in whichever batch its flow comes."""
    talk, again = two_tries()
    monkeypatch.setattr(following, "BATCHES", 1 << 60)  # no memory for more than a flow
    result = audit_bytes(wire.pcap(talk.packets + again.packets))
    finding = wire.only(result.findings[result.findings["rule"] == "TLS105"])
    assert f"a smaller one of {len(SMALL)} bytes (frame 10) was answered" in finding["reason"]


def test_reordered_segments_are_no_repeats(audit_bytes: Run) -> None:
    """Segments that overtake each other were not sent again."""
    talk = opened()
    hello(talk)
    talk.packets[-1], talk.packets[-2] = talk.packets[-2], talk.packets[-1]
    talk.send(1, ANSWER)
    row = outcome(audit_bytes(wire.pcap(talk.packets)))
    assert (row["hello_outcome"], row["hello_repeats"]) == ("answered", 0)


def test_a_small_hello_is_another_matter(audit_bytes: Run) -> None:
    """A hello of one segment that is reset is recorded in `handshakes`, and is no finding of this rule."""
    talk = opened()
    hello(talk, SMALL)
    talk.send(1, flags="RA")
    result = audit_bytes(wire.pcap(talk.packets))
    assert outcome(result)["hello_outcome"] == "reset by the server"
    assert verdict(result)[0] == "not_applicable"


def test_a_capture_that_ends_early_proves_nothing(audit_bytes: Run) -> None:
    """Only the hello in the capture: what happened to it is not known."""
    talk = opened()
    hello(talk)
    result = audit_bytes(wire.pcap(talk.packets))
    assert outcome(result)["hello_outcome"] == "not known"
    assert verdict(result)[0] == "not_observable"
