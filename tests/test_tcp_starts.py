"""The stream of a connection is that which the other side acknowledges."""

import itertools
import ssl
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests import carriers, wire

Run = Callable[..., Any]
HELLO = wire.record(22, wire.client_hello())
ANSWER = wire.record(22, wire.server_hello() + wire.message(14, b""))
REST = [
    ("c", wire.record(20, b"\1") + wire.record(22, bytes(40))),
    ("s", wire.record(20, b"\1") + wire.record(22, bytes(40))),
]
OTHERS = (777_000_000, 3_212_050_950, 9_050_000, 8_999_000, 42)
REAL = 9_000_000


def is_complete(result: Any) -> bool:
    row = wire.only(result.handshakes)
    assert (row["status"], row["hello_outcome"]) == ("complete", "answered"), row
    assert row["server_name"] == "pinpoint.us-east-1.amazonaws.com"
    wire.only(result.flows)
    return True


def with_others(others: tuple[int, ...], place: int, syn: bool = True) -> wire.Talk:
    """A connection with SYN-ACKs of other sequence numbers, ``place`` of them before the real one."""
    talk = wire.Talk(isn=(1000, REAL))
    if syn:
        talk.send(0, flags="S")
    else:
        talk.next[0] += 1
    for number, other in enumerate(others):
        if number == place:
            talk.send(1, flags="SA")
        talk.send(1, flags="SA", at=other)
    if place >= len(others):
        talk.send(1, flags="SA")
    return talk


@pytest.mark.parametrize("syn", [True, False])
@pytest.mark.parametrize("acknowledged", [True, False])
@pytest.mark.parametrize(
    ("others", "place"),
    [*(((other,), place) for other in OTHERS for place in (0, 1)), *((OTHERS[:3], place) for place in range(4))],
)
def test_a_syn_ack_counts_that_is_acknowledged(
    audit_bytes: Run, others: tuple[int, ...], place: int, acknowledged: bool, syn: bool
) -> None:
    """SYN-ACKs of other sequence numbers, before and after the real one, with and without the SYN and the bare ACK."""
    talk = with_others(others, place, syn)
    if acknowledged:
        talk.send(0, flags="A")
    talk.play([("c", HELLO), ("s", ANSWER), *REST]).close()
    assert is_complete(audit_bytes(wire.pcap(talk.packets)))


@pytest.mark.parametrize(("others", "place"), [*(((other,), place) for other in OTHERS for place in (0, 1))])
def test_in_one_direction_the_data_say_which_counts(audit_bytes: Run, others: tuple[int, ...], place: int) -> None:
    """Of the server's packets alone: that SYN-ACK counts whose numbers the data follow."""
    talk = with_others(others, place)
    talk.send(0, flags="A")
    talk.play([("c", HELLO), ("s", ANSWER), *REST])
    server = [packet for packet in talk.packets if packet[26:30] == bytes([192, 0, 2, 10])]
    row = wire.only(audit_bytes(wire.pcap(server)).handshakes)
    assert (row["status"], row["cipher_suite_id"]) == ("server_only", 0xC02F)


def test_the_real_syn_ack_is_not_in_the_capture(audit_bytes: Run) -> None:
    """The client acknowledges a number that no SYN-ACK of the capture has: the stream begins there."""
    talk = with_others((777_000_000,), 0)
    del talk.packets[1]
    talk.send(0, flags="A")
    talk.play([("c", HELLO), ("s", ANSWER), *REST])
    assert is_complete(audit_bytes(wire.pcap(talk.packets)))


def test_data_of_the_other_syn_ack_are_not_the_stream(audit_bytes: Run) -> None:
    """What follows the number of a SYN-ACK that nobody acknowledged was not received."""
    talk = with_others((777_000_000,), 0)
    talk.send(0, flags="A")
    talk.play([("c", HELLO)])
    talk.send(1, b"HTTP/1.1 403 Forbidden\r\n\r\n", at=777_000_001)
    talk.play([("s", ANSWER), *REST])
    assert is_complete(audit_bytes(wire.pcap(talk.packets)))


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("others", [(), (777_000_000,), (777_000_000, 42)])
def test_fast_open(audit_bytes: Run, accepted: bool, again: bool, others: tuple[int, ...]) -> None:
    """A hello in the SYN (RFC 7413), accepted or refused and sent again, with further SYN-ACKs or without."""
    talk = wire.Talk(isn=(1000, REAL))
    talk.send(0, HELLO, flags="S", at=1000)
    talk.next[0] = 1001 + (len(HELLO) if accepted else 0)
    for other in others:
        talk.send(1, flags="SA", at=other)
    if again:
        talk.send(0, flags="S", at=1000)
    talk.send(1, flags="SA")
    if accepted:
        talk.send(0, flags="A")
    else:
        talk.play([("c", HELLO)])
    talk.play([("s", ANSWER), *REST]).close()
    assert is_complete(audit_bytes(wire.pcap(talk.packets)))


PADDED = [(who, count, byte) for who in "cs" for count in (1, 2, 6) for byte in (0, 0xFF, 0x16)]


@pytest.mark.parametrize(("who", "count", "byte"), PADDED)
@pytest.mark.parametrize("syn", [True, False])
def test_padding_of_an_acknowledgement_is_not_the_stream(
    audit_bytes: Run, who: str, count: int, byte: int, syn: bool
) -> None:
    """A bare ACK's padding that its length counts is overlapped by what follows: before, within and after the hellos."""
    talk = wire.Talk()
    if syn:
        talk.open()

    def padded() -> None:
        side = "cs".index(who)
        talk.send(side, bytes([byte]) * count, flags="A", at=talk.next[side])

    padded()
    for flight in [("c", HELLO[:60]), ("c", HELLO[60:]), ("s", ANSWER[:50]), ("s", ANSWER[50:]), *REST]:
        talk.play([flight])
        padded()
    result = audit_bytes(wire.pcap(talk.packets))
    assert is_complete(result)
    assert wire.only(result.handshakes)["hello_repeats"] == 0


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_small_segments_are_data(audit_bytes: Run, size: int, acknowledged: bool) -> None:
    """A stream in bare ACK segments of a few bytes is read to its end, if it goes on or is acknowledged."""
    talk = wire.Talk().open()
    for who, data in [("c", HELLO), ("s", ANSWER), *REST]:
        side = "cs".index(who)
        for at in range(0, len(data), size):
            talk.send(side, data[at : at + size], flags="A")
        if acknowledged:
            talk.send(1 - side, flags="A")
    row = wire.only(audit_bytes(wire.pcap(talk.packets)).handshakes)
    assert (row["status"], row["server_name"]) == ("complete", "pinpoint.us-east-1.amazonaws.com")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_padded_acknowledgement_that_was_overtaken(audit_bytes: Run, order: tuple[int, ...]) -> None:
    """In whatever order the padded ACK and the hello's segments come, the hello is read."""
    talk = wire.Talk().open()
    first = talk.next[0]
    segments = [(b"\0\0", "A", first), (HELLO[:90], "PA", first), (HELLO[90:], "PA", first + 90)]
    for number in order:
        data, flags, at = segments[number]
        talk.send(0, data, flags=flags, at=at)
    talk.next[0] = first + len(HELLO)
    talk.play([("s", ANSWER), *REST])
    assert is_complete(audit_bytes(wire.pcap(talk.packets)))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("distance", [66_000, 200_000, 1 << 30])
@pytest.mark.parametrize("count", [1, 3])
def test_bytes_far_behind_the_stream(audit_bytes: Run, side: int, distance: int, count: int) -> None:
    """A few segments that no receiver would take, forged or damaged, do not end the stream in which they are sent."""
    talk = wire.Talk().open()
    for flight in [("c", HELLO), ("s", ANSWER), *REST]:
        for number in range(count if flight[0] == "cs"[side] else 0):
            talk.send(side, b"elsewhere", at=talk.next[side] + distance + 9 * number)
        talk.play([flight], 40)
    assert is_complete(audit_bytes(wire.pcap(talk.close().packets)))


def test_a_stream_whose_beginning_is_lost(audit_bytes: Run) -> None:
    """Where a segment of the beginning never comes, the stream is given up, and why the hello is not there is told."""
    talk = wire.Talk().open()
    talk.next[0] += 1000
    talk.play([("c", bytes(200_000))])
    talk.play([("s", ANSWER)])
    row = wire.only(audit_bytes(wire.pcap(talk.close().packets)).handshakes)
    assert (row["status"], row["status_reason"]) == (
        "server_only",
        "part of the client's side is missing from the capture",
    )


GREETING = [("s", b"220 mail.example ESMTP\r\n"), ("c", b"EHLO me\r\n"), ("s", b"250 STARTTLS\r\n")]
SMTP = [*GREETING, ("c", b"STARTTLS\r\n"), ("s", b"220 go ahead\r\n")]
OPENINGS = {
    "simultaneous open": "cS sS cSA sSA",
    "simultaneous open, the server's SYN first": "sS cS sSA cSA",
    "split handshake": "cS sS cSA sA",
    "split handshake after an acknowledgement": "cS sA sS cSA sA",
    "four segments": "cS sA sS cA",
}


@pytest.mark.parametrize("name", OPENINGS)
@pytest.mark.parametrize("before", [[], SMTP])
def test_connections_that_both_sides_open(audit_bytes: Run, name: str, before: list[tuple[str, bytes]]) -> None:
    """Where both sides send a SYN (RFC 9293 3.5), what they say tells who is the client, whoever speaks first."""
    talk = wire.Talk(dport=50_025)
    begin = list(talk.next)
    for segment in OPENINGS[name].split():
        side = "cs".index(segment[0])
        talk.send(side, flags=segment[1:], at=begin[side] if segment != "sA" else begin[side] + 100_000)
        talk.next[side] = begin[side] + 1
    talk.play([*before, ("c", HELLO), ("s", ANSWER), *REST])
    result = audit_bytes(wire.pcap(talk.packets))
    assert is_complete(result)
    assert wire.only(result.flows)["client_port"] == 40_000


LATER = {  # numbers of the later connection, whether the earlier one was closed, seconds between both, whether there is a SYN
    "the same number after FINs": ((1000, 9000), True, 1, True),
    "the same number, and the earlier one was silent": ((1000, 77_000), False, 60, True),
    "no SYN, higher numbers": ((600_000_000, 700_000_000), True, 1, False),
    "no SYN, lower numbers": ((4_000_000_000, 4_100_000_000), True, 1, False),
}


@pytest.mark.parametrize("name", LATER)
def test_ports_that_are_used_again(audit_bytes: Run, name: str) -> None:
    """A later connection on the same ports is a flow of its own, also with the same number or without its SYN."""
    numbers, closed, pause, syn = LATER[name]
    one, two = wire.Talk().open().play([("c", HELLO), ("s", ANSWER), *REST]), wire.Talk(isn=numbers)
    if closed:
        one.close()
    if syn:
        two.open()
    two.play([("c", wire.record(22, wire.client_hello("later.example"))), ("s", ANSWER), *REST])
    begin = 1_700_000_000 * wire.SECOND
    stamped = [(begin + at, packet) for at, packet in enumerate(one.packets)]
    stamped += [(begin + pause * wire.SECOND + at, packet) for at, packet in enumerate(two.packets)]
    result = audit_bytes(wire.pcap(stamped, nanoseconds=True))
    names = [(row["server_name"], row["status"]) for row in result.handshakes.to_dict("records")]
    assert names == [("pinpoint.us-east-1.amazonaws.com", "complete"), ("later.example", "complete")]
    assert len(result.flows) == 2


@pytest.mark.parametrize("syn", [True, False])
def test_ports_that_are_used_again_unseen(audit_bytes: Run, syn: bool) -> None:
    """Where the capture has neither the end of a connection nor the next one's SYN, another hello at far numbers begins that."""
    one, two = wire.Talk(), wire.Talk(isn=(3_000_000_000, 2_000_000_000))
    flights = [("c", HELLO), ("s", ANSWER), *REST]
    (one.open() if syn else one).play(flights)
    two.play([("c", wire.record(22, wire.client_hello("later.example"))), *flights[1:]])
    result = audit_bytes(wire.pcap([*one.packets, *two.packets]))
    names = [(row["server_name"], row["status"]) for row in result.handshakes.to_dict("records")]
    assert names == [("pinpoint.us-east-1.amazonaws.com", "complete"), ("later.example", "complete")]
    assert len(result.flows) == 2


def test_a_forged_reset_ends_nothing(audit_bytes: Run) -> None:
    """A RST of a number far from all that its side has sent does not close the connection, which goes on after a pause."""
    talk = wire.Talk().open().play([("c", HELLO), ("s", ANSWER)])
    talk.send(0, flags="R", at=2_000_000_000)
    begin, before = 1_700_000_000 * wire.SECOND, len(talk.packets)
    talk.play(REST).close()
    stamped = [(begin + at + (at >= before) * 10 * wire.SECOND, packet) for at, packet in enumerate(talk.packets)]
    result = audit_bytes(wire.pcap(stamped, nanoseconds=True))
    assert is_complete(result)
    wire.only(result.flows)


def test_a_far_segment_is_no_connection(audit_bytes: Run) -> None:
    """Data at far numbers that begin no hello, and the hello itself again, belong to the connection that is there."""
    talk = wire.Talk().play([("c", HELLO), ("s", ANSWER), *REST])
    talk.send(0, b"\x16\3\1" + bytes(60), at=3_000_000_000)
    talk.send(0, HELLO, at=1000)
    wire.only(audit_bytes(wire.pcap(talk.packets)).flows)


def test_what_is_sent_again_after_the_end_is_no_connection(audit_bytes: Run) -> None:
    """Data and FINs sent again, a late acknowledgement and a RST of number 0 belong to the connection that has ended."""
    talk = wire.Talk().open().play([("c", HELLO), ("s", ANSWER), *REST]).close()
    talk.send(0, HELLO, at=1001)
    talk.send(1, ANSWER, at=9001)
    talk.send(1, flags="FA", at=talk.next[1] - 1)
    talk.send(0, flags="A")
    talk.send(0, flags="R", at=0)
    wire.only(audit_bytes(wire.pcap(talk.packets)).flows)


@pytest.mark.parametrize("version", [4, 6])
def test_no_length_and_a_check_sequence(audit_bytes: Run, version: int) -> None:
    """IP without a length, as segmentation offload writes it, in frames whose check sequence was captured: it is no payload."""
    ends: Any = {"client": "2001:db8::1", "server": "2001:db8::2"} if version == 6 else {}
    talk = wire.Talk(**ends).open().play([("c", HELLO), ("s", ANSWER), *REST])
    at = 16 if version == 4 else 18
    frames = [packet[:at] + b"\0\0" + packet[at + 2 :] for packet in talk.packets]
    checked = [frame + zlib.crc32(frame).to_bytes(4, "little") for frame in frames]
    assert is_complete(audit_bytes(wire.pcap(checked)))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("reset", [False, True])
def test_what_the_capture_lacks_was_not_refused(audit_bytes: Run, version: ssl.TLSVersion, reset: bool) -> None:
    """Whichever packets of a whole session are missing, one or several in a row: no handshake failed, no hello was refused or lost."""
    packets = []
    for count in (1, 2, 3, 5):
        for first in range(3, 14):
            talk = wire.Talk(sport=20_000 + 100 * count + first).open().play(carriers.handshake(version), 700).close()
            if reset:
                talk.send(1, flags="RA")
            packets += talk.packets[:first] + talk.packets[first + count :]
    rows = audit_bytes(wire.pcap(packets)).handshakes
    assert len(rows) > 30
    assert False not in set(rows["established"].dropna())
    assert set(rows["hello_outcome"]) <= {"answered", "not known"}
    assert True not in set(rows["resumed"].dropna())
