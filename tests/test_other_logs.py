"""Logs that are no witnesses are told by their name, and forms of CloudTrail's events that are tables."""

import csv
import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

import auditor
from auditor.paths import cloudtrail, witnesses
from auditor.paths.model import Flows
from auditor.prefixes import parse_address
from tests import wire
from tests.lab import world as w

ZEEK = "#separator \\x09\n#path\t{}\n#fields\tts\tuid{}\n#types\ttime\tstring{}\n"
CONN = (
    ZEEK.format("conn", "\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto", "\taddr\tport\taddr\tport\tenum")
    + "1764000000.0\tC1\t10.20.1.10\t40000\t172.31.0.20\t443\ttcp\n"
)
TLS = {
    "tlsVersion": "TLSv1.3",
    "cipherSuite": "TLS_AES_128_GCM_SHA256",
    "clientProvidedHostHeader": "sts.amazonaws.com",
    "keyExchange": "X25519MLKEM768",
}
STRUCTURE = (
    "{tlsversion=TLSv1.3, ciphersuite=TLS_AES_128_GCM_SHA256, clientprovidedhostheader=sts.amazonaws.com, "
    "keyexchange=X25519MLKEM768}"
)


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (
            'https 2026-11-20T11:43:20.5Z app/a/1 10.0.0.1:1 10.0.0.2:80 0 0 0 200 200 0 5 "GET / HTTP/1.1"',
            "Application Load",
        ),
        ("tls 2.0 2026-11-20T11:43:20 net/a/1 2 10.0.0.1:1 10.0.0.2:443 5 2 98 246 -", "Network Load"),
        ("#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip", "CloudFront"),
        ("79a59df9 bucket [20/Nov/2026:11:43:20 +0000] 10.0.0.1 - 3E57 REST.GET.OBJECT k", "Amazon S3"),
        ('{"query_name": "a.", "query_type": "A", "srcaddr": "10.0.0.1"}', "Route 53 Resolver"),
        ('{\n "serviceNetworkArn": "arn",\n "sourceIpPort": "10.0.0.1:1"}', "VPC Lattice"),
        ('{"timestamp": 1, "webaclId": "arn"}', "AWS WAF"),
        ('{"event_timestamp": 1, "ike_phase1_state": "established"}', "VPN's tunnels"),
        ('{"connection-log-type": "connection-attempt"}', "Client VPN"),
        ('{"NetworkInterfaces": []}', "given with --aws"),
        ("ts,te,td,sa,da,sp,dp,pr", "nfdump"),
        ('{"data": [{"firstPacket": 1}]}', "Arkime"),
        ("\n\r\r\n\x1c", "a capture"),
        ("hello", "not a log that is known"),
        ("-------\n| FilterLogEvents |\n+------+\n", "a table as it is drawn, .*--output json"),
        (
            '{"eventTime": "2026-11-20T11:43:20Z", "eventType": "AwsCloudTrailInsight", "insightDetails": {"eventSource": "sts"}}',
            "CloudTrail Insights",
        ),
        ("events:\n- eventId: '1'\n  message: 2 123456789012 eni-1\n", "YAML, .*--output json"),
        ("Records:\n- eventTime: 2025-11-24T16:00:00Z\n", "YAML, "),
        ("Event name,Event time,User name,Event source\nGetApps,2025-11-24T16:00:00Z,,", "CloudTrail's console"),
    ],
)
def test_what_a_log_is(tmp_path: Path, begin: str, words: str) -> None:
    """A log of another kind is refused by its name, with the reason and what to give."""
    (tmp_path / "a.log").write_text(begin + "\n")
    with pytest.raises(auditor.InputError, match=rf"a\.log: .*{words}.*Zeek's conn\.log"):
        witnesses.read([tmp_path / "a.log"])


def test_a_folder_of_many_logs(tmp_path: Path) -> None:
    """In a folder logs of other kinds are left out and named, each kind once, and what is no log is passed over."""
    (tmp_path / "conn.log").write_text(CONN)
    for name in ("elb1.log", "elb2.log"):
        (tmp_path / name).write_text("https 2026-11-20T11:43:20.5Z app/a/1 10.0.0.1:1 10.0.0.2:80\n")
    (tmp_path / "insight.json").write_text('{"Records": [{"eventType": "AwsCloudTrailInsight"}]}')
    for name in ("athena.csv.metadata", "._conn.log", "_SUCCESS", "aws-logs-write-test"):
        (tmp_path / name).write_text("anything")
    read = witnesses.read([tmp_path])
    assert read.sensor is not None
    assert [note.partition("left out: ")[0].rpartition("/")[2] for note in read.notes] == [
        "elb1.log and 1 more: an access log of an Application Load Balancer, ",
        "insight.json: CloudTrail Insights events, ",
    ]
    (tmp_path / "conn.log").unlink()
    with pytest.raises(auditor.InputError, match=r"elb1\.log: an access log"):
        witnesses.read([tmp_path])


def test_a_folder_with_what_is_no_log(tmp_path: Path) -> None:
    """What is no log is one warning that names it; what looks like one, or cannot be read, is an error; the rest is read."""
    (tmp_path / "conn.log").write_text(CONN)
    for name, text in (
        ("README.txt", "of 10.20.1.10"),
        ("todo.txt", "at 16:00:00"),
        ("manifest.json", '{"a": "10.0.0.1"}'),
    ):
        (tmp_path / name).write_text(text)
    for name in ("conn.csv.crc", "conn.log.sha256", "Thumbs.db"):
        (tmp_path / name).write_text("10.0.0.1")
    unread = {
        "a.csv": b"10.20.1.10,172.31.0.20,443\n",
        "b.json": b'{"from": "2001:db8::1"}',
        "c.log.gz": gzip.compress(CONN.encode())[:-12],
        "d.log": b"srcaddr dstaddr\n10.0.0.1 10.0.0.2\n",
        "e.yaml": b"events:\n- message: x\n",
        "f.zip": b"PK\3\4\0",
    }
    for name, data in unread.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "g.log").symlink_to("nowhere")
    read = witnesses.read([tmp_path])
    assert read.sensor is not None
    names = [text.partition(": ")[0].rpartition("/")[2] for text in (*read.notes, *read.unread)]
    assert names == ["README.txt and 2 more", "g.log", "c.log.gz", "a.csv", "b.json", "d.log", "e.yaml", "f.zip"]
    (tmp_path / "conn.log").unlink()
    with pytest.raises(auditor.InputError, match=r"g\.log: a link"):
        witnesses.read([tmp_path])


def test_unread_logs_are_errors_of_the_audit(tmp_path: Path) -> None:
    """A log of a folder that cannot be read is an input that cannot be read: the audit's exit code tells it."""
    capture, logs = tmp_path / "a.pcap", tmp_path / "logs"
    capture.write_bytes(wire.pcap(w.talk(), nanoseconds=True))
    logs.mkdir()
    (logs / "conn.log").write_text(CONN)
    assert auditor.audit(capture, witnesses=[logs]).errors == []
    (logs / "b.csv").write_text("10.20.1.10,172.31.0.20,443\n")
    assert [error.partition(": ")[0] for error in auditor.audit(capture, witnesses=[logs]).errors] == [
        str(logs / "b.csv")
    ]


def test_files_of_firehose(tmp_path: Path) -> None:
    """Where no file of a folder has a suffix, all may be logs: so Firehose names what it delivers."""
    (tmp_path / "flows-1-2026-11-20-11-43-20-0a1b").write_text(CONN)
    assert witnesses.read([tmp_path]).sensor is not None


def test_a_folder_of_zeek(tmp_path: Path) -> None:
    """Zeek's other logs, and what it prints, lie beside those of connections: they are left out, and named."""
    (tmp_path / "conn.log").write_text(CONN)
    (tmp_path / "notice.log").write_text(ZEEK.format("notice", "", ""))
    (tmp_path / "stats.log").write_text('{"ts":1764000000.0,"peer":"zeek","mem":100}\n')
    (tmp_path / "stderr.log").write_text("listening on eth1\n")
    read = witnesses.read([tmp_path])
    assert read.sensor is not None
    assert len(read.sensor.events) == 1
    assert [note.partition(": ")[0].rpartition("/")[2] for note in read.notes] == [
        "notice.log",
        "stats.log",
        "stderr.log",
    ]
    (tmp_path / "conn.log").unlink()
    with pytest.raises(auditor.InputError, match=r"notice\.log: not a log that is known"):
        witnesses.read([tmp_path])


@pytest.mark.parametrize("when", ["2026-11-20T11:43:20Z", "2026-11-20 11:43:20.000"])
@pytest.mark.parametrize("tls", [STRUCTURE, json.dumps(TLS)])
@pytest.mark.parametrize("names", [("eventTime", "sourceIPAddress", "vpcEndpointId", "tlsDetails"), None])
def test_events_as_tables(tmp_path: Path, when: str, tls: str, names: tuple[str, ...] | None) -> None:
    """Events in CSV of Athena (names without capitals) and of CloudTrail Lake say the same as in JSON."""
    text = io.StringIO()
    columns = names or ("eventtime", "sourceipaddress", "vpcendpointid", "tlsdetails")
    csv.writer(text).writerows([columns, (when, "203.0.113.9", "", tls)])
    (tmp_path / "a.csv").write_text(text.getvalue())
    trail = witnesses.read([tmp_path / "a.csv"]).trail
    assert trail is not None
    (event,) = trail.events
    assert (event.host, event.address, event.endpoint) == ("sts.amazonaws.com", parse_address("203.0.113.9"), None)
    assert (event.tls_version, event.cipher_suite) == ("TLS 1.3", "TLS_AES_128_GCM_SHA256")
    assert event.group == "X25519MLKEM768"


@pytest.mark.parametrize(
    ("suite", "group", "told"),
    [
        ("-", "-", ""),
        ("TLS_AES_128_GCM_SHA256", "X25519", ""),
        ("ECDHE-RSA-AES128-GCM-SHA256", "x25519", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES256-SHA", "", "TLS_RSA_WITH_AES_256_CBC_SHA"),
        ("ECDHE-ECDSA-AES256-SHA384", "", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
        ("1", "ECDHE", ""),
        ("TLS_AES_128_GCM_SHA256", "X25519MLKEM768", "X25519MLKEM768"),
        ("", "secp256r1", "secp256r1"),
    ],
)
def test_what_the_two_ends_say_of_tls(suite: str, group: str, told: str) -> None:
    """Suites by OpenSSL's names and groups in any capitals are compared with the packets; other words are not."""
    seen = SimpleNamespace(
        tls_version=["TLS 1.3"], cipher_suite=["TLS_AES_128_GCM_SHA256"], key_exchange_group=["x25519"]
    )
    details = {"tlsVersion": "TLSv1.3", "clientProvidedHostHeader": w.NAME, "cipherSuite": suite, "keyExchange": group}
    event = cloudtrail._event({"eventTime": "2026-11-20T11:43:20Z", "sourceIPAddress": "", "tlsDetails": details})
    assert event is not None
    said = np.array([None], object)
    cloudtrail.CloudTrail._compare(cast(Flows, seen), 0, event, said)
    assert (said[0] or "").partition(",")[0] == (told and f"CloudTrail says {told}")
