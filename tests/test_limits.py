"""Limits, at their edge: what still fits, and what is one step too far."""

import bz2
import gzip
import json
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import auditor
from auditor.capture import compression
from auditor.paths.mrt import attributes
from auditor.policy import findings
from auditor.policy.check import FAIL
from auditor.requests.http import Request, answer, request
from auditor.requests.inside import Refusals
from auditor.tls import certificates, quic_packets
from tests import wire
from tests.lab import scenes
from tests.lab import world as w
from tests.test_findings import gathered, subject

ZEEK = "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tvlan\n"


def flow_log(second: float) -> tuple[str, str]:
    """A row of a flow log whose capture window begins that many seconds after the flow."""
    row = f"2 123456789012 eni-0a1 {w.CLIENT} {w.ENI} 40000 443 6 9 1000"
    start = scenes.START + int(second)
    return "vpc.log", f"{scenes.V2}\n{row} {start} {start + 60} ACCEPT OK\n"


def cloudtrail(second: float) -> tuple[str, str]:
    """An event at that many seconds after the flow's first."""
    event = scenes.trail(sourceIPAddress=w.CLIENT, eventTime=f"2025-11-24T16:00:{int(second):02}Z")
    return "trail.json", json.dumps(event)


def zeek(second: float) -> tuple[str, str]:
    """A connection that Zeek saw begin that many seconds after the flow."""
    return "conn.log", f"{ZEEK}{scenes.START + second:.3f}\tC1\t{w.CLIENT}\t40000\t{w.ENI}\t443\ttcp\t101\n"


@pytest.mark.parametrize(
    ("witness", "server", "last", "late"),
    [(flow_log, w.ENI, 60, 61), (cloudtrail, w.SERVER, 2, 3), (zeek, w.ENI, 5, 5.5)],
    ids=["flow log", "CloudTrail", "Zeek"],
)
def test_how_far_a_witness_may_be_off(
    tmp_path: Path, witness: Callable[[float], tuple[str, str]], server: str, last: float, late: float
) -> None:
    """A flow log's row fits a flow within 60 seconds (VPC User Guide), an event within 2, a sensor's row within 5."""
    (tmp_path / "a.pcap").write_bytes(wire.pcap(w.talk(server=server, out=scenes.LAN), nanoseconds=True))
    matched = []
    for second in (last, late):
        name, text = witness(second)
        (tmp_path / name).write_text(text)
        result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / name])
        matched.append(int(result.witnesses["flows_matched"].iloc[0]))
    assert matched == [1, 0]


def test_a_route_without_a_local_preference_has_a_hundred() -> None:
    """As router makers have it: a route without LOCAL_PREF (RFC 4271 5.1.5) is as good as one of 100."""

    def rank(preference: int | None) -> tuple[int, ...]:
        given = b"" if preference is None else b"\x40\x05\x04" + struct.pack(">I", preference)
        return attributes(b"\x40\x01\x01\0" + given).rank

    assert rank(101) < rank(None) == rank(100) < rank(99)


@pytest.mark.parametrize(("servers", "others"), [(12, 0), (13, 2)])
def test_how_many_services_a_rule_names(servers: int, others: int) -> None:
    """Twelve services are named one by one; of more, eleven, and the rest together."""
    found = gathered((subject(np.full(servers, 0x0A010101), np.arange(servers)), FAIL)).ordered()
    assert len(found) == 12
    assert sum(one.flows for one in found if one.service == findings.OTHERS) == others


def test_how_much_of_a_flow_proves_something(tmp_path: Path) -> None:
    """The evidence of a finding has the flow up to its proof and two packets behind: an answer, and that it was taken."""
    hello = wire.record(22, wire.client_hello(version=0x0301), 0x0301)
    answered = wire.record(22, wire.server_hello(0xC013, 0x0301), 0x0301)
    flights = [("c", hello), ("s", answered), *[("c", wire.record(23, bytes(40), 0x0301))] * 6]
    path = wire.write(tmp_path, wire.pcap(wire.Talk().open().play(flights).packets))
    result = auditor.audit(path)
    found = wire.only(result.findings[result.findings["rule"] == "TLS101"])
    assert found["sample_frames"] == "1 4 5"  # the SYN and both hellos
    assert result.extract(found["finding_id"], tmp_path / "evidence.pcapng") == 5 + 2


@pytest.mark.parametrize(("status", "code"), [(399, None), (400, "Throttling")])
def test_from_which_status_on_an_answer_is_an_error(status: int, code: str | None) -> None:
    """Errors begin with 400 (RFC 9110 15.5)."""
    made = Request(1, 1, "GET", "https", None, None)
    answer(made, status, {"x-amzn-errortype": "Throttling:http://internal/"})
    assert made.error_code == code


@pytest.mark.parametrize(("length", "is_kept"), [(260, True), (261, False)])
def test_how_long_an_authority_may_be(length: int, is_kept: bool) -> None:
    """A host of 253 characters (RFC 1035 2.3.4) and a port fit; what is longer is no name, and is not kept."""
    name = "a" * length
    made = request(1, 1, "GET", "/", {"host": name}, scheme="https", salt=b"")
    assert made.authority == (name if is_kept else None)


def test_what_is_still_one_burst_of_refusals() -> None:
    """Refusals within five minutes, their ends included, are one burst."""
    first = 1_764_000_000 * wire.SECOND
    minutes = 5 * 60 * wire.SECOND
    assert Refusals([first + minutes, first]).most() == 2
    assert Refusals([first + minutes + 1, first]).most() == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_file_is_known_by_its_first_bytes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """What is read as a whole may be packed; the longest mark, that of xz, has six bytes."""
    (tmp_path / "file").write_bytes(pack(b"what is inside"))
    assert compression.unpacked(tmp_path / "file") == b"what is inside"


@pytest.mark.parametrize(
    ("draft", "lengths"), [(21, b"\x15"), (22, b"\x04\x08")], ids=["both in one byte, less 3", "a byte for each"]
)
def test_since_when_connection_ids_have_a_byte_of_length(draft: int, lengths: bytes) -> None:
    """Until draft 21 of QUIC both lengths were in one byte (draft-ietf-quic-transport-21, 17.2; -22, 17.2)."""
    target, source = b"\1\2\3\4", b"\5\6\7\x08\x09\x0a\x0b\x0c"
    names = lengths + target + source if len(lengths) == 1 else lengths[:1] + target + lengths[1:] + source
    rest = b"\0" + b"\x40\x20" + bytes(32)  # no token, 32 bytes of packet number and payload
    (packet,) = quic_packets.packets(b"\xc0" + struct.pack(">I", 0xFF000000 + draft) + names + rest)
    assert (packet.target, packet.source) == (target, source)


def test_how_much_of_a_text_in_a_certificate_is_kept() -> None:
    """Of what strangers write into certificates 4096 characters are kept, and that it was longer is shown."""
    assert certificates._text("x" * 4096) == "x" * 4096
    assert certificates._text("x" * 4097) == "x" * 4096 + "…"
