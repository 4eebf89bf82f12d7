"""Which answers of the DNS name a server: those to the question that was asked, by resolvers, of the Internet's class."""

from collections.abc import Callable
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR

import auditor
from tests import wire

NAME = "sms-voice.us-west-2.amazonaws.com"


def named(
    run: Callable[..., auditor.Audit], records: DNSRR, count: int, port: int = 53, asked: str = NAME
) -> str | None:
    """The server's name after an answer with these records from this port."""
    answer = DNS(qr=1, ra=1, qd=DNSQR(qname=asked), ancount=count, an=records)
    packets = [wire.datagram(bytes(answer), sport=port, dport=6000, client="10.0.0.53", server=wire.CLIENT)]
    told = run(wire.pcap([*packets, *wire.Talk().open().packets]))
    found: list[str | None] = [row["server_name"] for row in told.rows("flows", "server_name")]
    return found[-1]


def alias(name: str, target: str) -> DNSRR:
    return DNSRR(rrname=name, type="CNAME", rdata=target)


def address(name: str = NAME, **more: Any) -> DNSRR:
    return DNSRR(rrname=name, rdata=wire.SERVER, **more)


@pytest.mark.parametrize("port", [53, 5300])
def test_answers_that_name(audit_bytes: Callable[..., auditor.Audit], port: int) -> None:
    """A record of the name that was asked for counts in any case of its letters, and so does one at the end of aliases in any order."""
    assert named(audit_bytes, address(), 1, port) == NAME
    assert named(audit_bytes, address(NAME.upper()), 1, port) == NAME
    chain = alias(NAME, "a.example") / alias("a.example", "B.example") / address("b.example")
    assert named(audit_bytes, chain, 3, port) == NAME
    backwards = address("b.example") / alias("a.example", "b.example") / alias(NAME, "a.example")
    assert named(audit_bytes, backwards, 3, port) == NAME


def test_answers_that_name_nothing(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """A record that nobody asked for (RFC 5452 6), one of another class, and answers of the link's own protocols do not count."""
    assert named(audit_bytes, address("other.example"), 1) is None
    assert named(audit_bytes, alias(NAME, "a.example") / address("b.example"), 2) is None
    assert named(audit_bytes, address(NAME + ".example"), 1) is None
    assert named(audit_bytes, address(rclass=3), 1) is None
    assert named(audit_bytes, address(), 1, 5353) is None
    assert named(audit_bytes, address(), 1, 5355) is None


def test_a_name_that_points_at_itself(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Compression that leads nowhere ends, and the record counts for nothing."""
    head = bytes(DNS(qr=1, ra=1, qd=DNSQR(qname=NAME), ancount=1))
    record = b"\xc0" + bytes([len(head)]) + b"\0\1\0\1\0\0\0\x3c\0\4" + bytes(map(int, wire.SERVER.split(".")))
    packets = [wire.datagram(head + record, sport=53, dport=6000, client="10.0.0.53", server=wire.CLIENT)]
    told = audit_bytes(wire.pcap([*packets, *wire.Talk().open().packets]))
    assert [row["server_name"] for row in told.rows("flows", "server_name")][-1] is None


def over_tcp(answers: list[bytes], sizes: list[int], split_length: bool = False) -> list[bytes]:
    """A client's query and these answers over TCP; segments have ``sizes``, the last of them again and again."""
    query = bytes(DNS(rd=1, qd=DNSQR(qname=NAME)))
    talk = wire.Talk(dport=53, server="10.0.0.53").open()
    length = len(query).to_bytes(2, "big")
    talk.play([("c", length), ("c", query)] if split_length else [("c", length + query)])
    stream = b"".join(len(one).to_bytes(2, "big") + one for one in answers)
    at = 0
    while at < len(stream):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        talk.send(1, stream[at : at + size])
        at += size
    return talk.close().packets


def response(records: DNSRR, count: int = 1, asked: str = NAME) -> bytes:
    return bytes(DNS(qr=1, ra=1, qd=DNSQR(qname=asked), ancount=count, an=records))


OTHER = response(DNSRR(rrname="x.example", rdata="203.0.113.9"), asked="x.example")


@pytest.mark.parametrize("sizes", [[1460], [2, 1460], [14, 1460], [40, 7, 1460], [20]])
@pytest.mark.parametrize("before", [0, 1, 5])
def test_answers_over_tcp(audit_bytes: Callable[..., auditor.Audit], sizes: list[int], before: int) -> None:
    """An answer over TCP names flows as one in a datagram does (RFC 7766), wherever segments begin, and behind others of its stream."""
    packets = over_tcp([*[OTHER] * before, response(address())], list(sizes), split_length=sizes[0] == 2)
    told = audit_bytes(wire.pcap([*packets, *wire.Talk(sport=41_000).open().packets]))
    rows = list(told.rows("flows", "server_name", "protocol", "client_port"))
    assert [row["server_name"] for row in rows if row["client_port"] == 41_000] == [NAME]
    assert [row["protocol"] for row in rows if row["client_port"] == 40_000] == ["dns"]


def test_a_long_stream_of_answers(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """A resolver's connection that stays open is read on, however much went over it."""
    packets = over_tcp([*[OTHER] * 3000, response(address())], [1460])
    told = audit_bytes(wire.pcap([*packets, *wire.Talk(sport=41_000).open().packets]))
    assert told.flows.set_index("client_port").server_name[41_000] == NAME


def test_what_only_looks_like_dns_over_tcp(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """A stream whose first two bytes might be a length is recognised by what follows; no address is taken from one that breaks off."""
    talk = wire.Talk(dport=443).open()
    talk.play([("c", b"\0\x20"), ("c", bytes(40)), ("s", bytes(100))]).close()
    cut = over_tcp([response(address())[:-4]], [1460])
    told = audit_bytes(wire.pcap([*talk.packets, *cut, *wire.Talk(sport=41_000).open().packets]))
    assert told.flows.server_name.isna().all()
