"""Every form in which logs and routing tables are handed out, read alike or refused by name."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditor
from auditor.paths import flow_log_columns, flow_logs, witnesses
from auditor.paths.flow_log_rows import FlowLog, Window
from auditor.paths.routes import Hop
from auditor.prefixes import parse_address
from tests.lab import scenes
from tests.lab import world as w
from tests.test_path_inputs import ROW, find, table_of

NAMES = [re.sub("-", "_", name) for name in scenes.V2.split()]  # as columns of tables are named
FORMS = {
    "tabs.log": f"{scenes.V2}\n{ROW}\n".replace(" ", "\t"),
    "subscription.json": json.dumps({"logGroup": "flows", "logEvents": [{"timestamp": 1, "message": ROW}]}),
    "filter-log-events.json": json.dumps({"events": [{"timestamp": 1, "message": ROW}], "searchedLogStreams": []}),
    "get-query-results.json": json.dumps(
        {"results": [[{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": ROW}]]}
    ),
    "insights.csv": f"@timestamp,@message\n2025-11-24 16:00:00.000,{ROW}\n",
    "athena.csv": "version,account,interfaceid,sourceaddress,destinationaddress,sourceport,destinationport,protocol,"
    f"numpackets,numbytes,starttime,endtime,action,logstatus\n{ROW.replace(' ', ',')}\n",
    "tail.log": f"2025-11-24T16:00:00+00:00 eni-0a1-all {ROW}\n",
    "tail-short.log": f"2025-11-24T16:00:00 {ROW}\n",
    "mark.log": f"\ufeff{scenes.V2}\r\n{ROW}\r\n",
    "messages.json": json.dumps([ROW]),
    "pairs.json": json.dumps([[1, ROW]]),
    "renamed.json": json.dumps([{"t": 1, "m": ROW}]),
    "fields.json": json.dumps([dict(zip(NAMES, ROW.split(), strict=True))]),
    "fields of query.json": json.dumps(
        {"results": [[{"field": n, "value": v} for n, v in zip(NAMES, ROW.split(), strict=True)] + [{"field": "@ptr"}]]}
    ),
    "athena.json": json.dumps(
        {"ResultSet": {"Rows": [{"Data": [{"VarCharValue": v} for v in row]} for row in (NAMES, ROW.split())]}}
    ),
    "pretty, one behind the other.json": json.dumps({"events": []}, indent=1)
    + json.dumps({"events": [{"timestamp": 1, "message": ROW}]}, indent=1),
    "controlled.json": json.dumps({"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "Checking health"}]})
    + json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [{"message": ROW}]}),
    "output text.log": f"b/31\tf/31\nEVENTS\t1\teni-0a1-all\t1\t{ROW}\t1\n",
    "console.csv": f'timestamp,message\n1764000000000,"{ROW} "\n',
    "athena.tsv": "\t".join(NAMES) + "\n" + ROW.replace(" ", "\t") + "\n",
    "rows.csv": ROW.replace(" ", ",") + "\n",
    "quoted rows.csv": '"' + ROW.replace(" ", '";"') + '"\r\n',
    "semicolons.csv": ";".join(NAMES) + "\n" + ROW.replace(" ", ";") + "\n",
    "coloured.log": f"\x1b[32m2025-11-24T16:00:00+00:00\x1b[0m \x1b[36meni-0a1-all\x1b[0m {ROW}\n",
    "milliseconds.log": f"{scenes.V2}\n" + re.sub(r"(?<= 17)(\d{8})(?= )", r"\g<1>123", ROW) + "\n",
    "windows.json": json.dumps(
        dict(zip([{"start": "windowstart", "end": "windowend"}.get(n, n) for n in NAMES], ROW.split(), strict=True))
    ),
    "dated.csv": ",".join(NAMES)
    + "\n"
    + re.sub(r"(?<= )17\d{8}(?= )", "2025-11-24 16:00:00.000 UTC", ROW)
    .replace(" ", ",")
    .replace("2025-11-24,16:00:00.000,UTC", "2025-11-24 16:00:00.000 UTC")
    + "\n",
    "commented.log": f"# a log\n\n# {scenes.V2}\n# of one host\n{ROW} # its first\n#{ROW}\n",
    "comments without header.log": f"# where srcaddr is mine\r\n{ROW} # it is\r\n",
    "of jq.txt": f'"{ROW}"\n',
    "of a list.txt": f'  "{ROW}",\r\n',
    "get-log-record.json": json.dumps({"logRecord": {"@logStream": "eni-0a1-all", "@message": ROW, "@timestamp": "1"}}),
    "wide.log": f" {scenes.V2} \n{ROW.replace(' ', '  ')} \n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_flow_logs(tmp_path: Path, name: str) -> None:
    """Each form that AWS hands out gives the row that S3's form gives."""
    (tmp_path / name).write_text(FORMS[name])
    found = witnesses.read([tmp_path]).flow_log
    assert found is not None
    log = found.log
    assert (len(log), log.number["srcport"][0], log.number["bytes"][0]) == (1, 40_000, 1000)
    assert (log.texts("interface-id")[0], tuple(log.address["dstaddr"][0].tolist())) == (
        "eni-0a1",
        parse_address(w.ENI),
    )


EVENT = {
    "eventTime": "2025-11-24T16:00:00Z", "eventSource": "pinpoint.amazonaws.com", "sourceIPAddress": "198.51.100.1",
    "tlsDetails": {"tlsVersion": "TLSv1.3", "clientProvidedHostHeader": w.NAME},
}  # fmt: skip
TEXT = json.dumps(EVENT)
QUOTED = TEXT.replace('"', '""')
TRAILS = {
    "Records": json.dumps({"Records": [EVENT]}),
    "lookup-events": json.dumps({"Events": [{"EventId": "1", "CloudTrailEvent": TEXT}]}),
    "filter-log-events": json.dumps({"events": [{"message": TEXT, "timestamp": 1}]}),
    "subscription": json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": TEXT}]}),
    "get-query-results": json.dumps(
        {"results": [[{"field": "@timestamp", "value": "x"}, {"field": "@message", "value": TEXT}]]}
    ),
    "EventBridge": json.dumps({"detail-type": "AWS API Call via CloudTrail", "detail": EVENT}),
    "Insights": f'@timestamp,@message\n2025-11-24 16:00:00.000,"{QUOTED}"\n',
    "tail": f"2025-11-24T16:00:00+00:00 123456789012_CloudTrail_us-east-1 {TEXT}\n",
    "tail --format short": f"2025-11-24T16:00:00 {TEXT}\n",
    "tail --format json": f"2025-11-24T16:00:00+00:00 trail {json.dumps(EVENT, indent=2)}\n",
    "tail --color on": f"\x1b[32m2025-11-24T16:00:00+00:00\x1b[0m \x1b[36mtrail\x1b[0m {TEXT}\n",
    "Insights, JSON": json.dumps([{"@timestamp": "2025-11-24 16:00:00.000", "@message": TEXT}]),
    "Insights, members": "eventTime,sourceIPAddress,tlsDetails.tlsVersion,tlsDetails.clientProvidedHostHeader\n"
    f"{EVENT['eventTime']},10.20.1.10,TLSv1.3,{w.NAME}\n",
    "create-export-task": f"2025-11-24T16:00:00.000Z {TEXT}\n",
    "lookup-events --query": json.dumps([TEXT]),
    "pairs": json.dumps([["2025-11-24T16:00:00Z", TEXT]]),
    "output text": f"EVENTS\tAKIA\t{TEXT}\t1\tfalse\nRESOURCES\ta\tb\n",
    "console": f'timestamp,message\n1764000000000,"{QUOTED}"\n',
    "CloudTrail Lake": json.dumps({"QueryStatus": "FINISHED", "QueryResultRows": [[{"eventJson": TEXT}]]}),
    "pretty, one behind the other": json.dumps({"Records": []}, indent=1) + json.dumps({"Records": [EVENT]}, indent=1),
    "lines": f"{TEXT}\n",
    "lines of jq": f"{json.dumps(TEXT)}\n",
    "get-log-record": json.dumps({"logRecord": {"@logStream": "trail", "@message": TEXT}}),
    "Firehose": TEXT,
}


def test_a_trail_that_names_no_connection(tmp_path: Path) -> None:
    """Events without a host, as those of the console's own calls are, are not passed over without a word."""
    trail = tmp_path / "trail.json"
    for host, said in ({}, 1), (EVENT["tlsDetails"], 0):
        trail.write_text(json.dumps({"Records": [{**EVENT, "tlsDetails": host}]}))
        assert len([one for one in witnesses.read([trail]).notes if "names the connection" in one]) == said


@pytest.mark.parametrize("name", TRAILS)
def test_every_form_of_cloudtrail(tmp_path: Path, name: str) -> None:
    """Each form that AWS hands out gives the event that S3's form gives; where no event is in it, that is an error."""
    (tmp_path / "trail.log").write_text(TRAILS[name] * (2 if name == "Firehose" else 1))
    found = witnesses.read([tmp_path]).trail
    assert found is not None
    assert {(event.host, event.tls_version) for event in found.events} == {(w.NAME, "TLS 1.3")}
    assert len(found.events) == (2 if name == "Firehose" else 1)
    (tmp_path / "trail.log").write_text(TRAILS[name].replace("eventTime", "eventName"))
    with pytest.raises(auditor.InputError, match=r"trail\.log"):
        witnesses.read([tmp_path])


SEEN = {
    "event_type": "tls", "timestamp": "2025-11-24T16:00:00+0000", "src_ip": "10.20.1.10", "src_port": 40_000,
    "dest_ip": w.ENI, "dest_port": 443, "proto": "TCP", "vlan": [101],
}  # fmt: skip
STATISTICS = json.dumps({"timestamp": "2025-11-24T15:59:52+0000", "event_type": "stats", "stats": {"uptime": 8}})


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SEEN),
        json.dumps(SEEN | {"vlan": 101}),
        json.dumps([SEEN], indent=2),
        f"{STATISTICS}\n" * 700 + json.dumps(SEEN),
    ],
)
def test_every_form_of_eve(tmp_path: Path, text: str) -> None:
    """Lines, and a list of them; one tag may be its number; and statistics of a quiet hour may come first."""
    (tmp_path / "eve.json").write_text(text)
    found = witnesses.read([tmp_path]).sensor
    assert found is not None
    assert [(one.ends[1], one.vlans) for one in found.events] == [(40_000, (101,))]


LOGGED = (
    f"6 TransitGateway 123456789012 tgw-1 tgw-attach-1 - - - - - - - - - - tgw-attach-2 {ROW.partition('eni-0a1 ')[2]}"
)
TRANSIT_ROW = f"{LOGGED.replace('ACCEPT OK', 'OK')} IPv4 0 0 0 0 2 us-east-1 ingress - -"


@pytest.mark.parametrize(
    "text", [TRANSIT_ROW, f"2025-11-24T16:00:00+00:00 tgw-1-all {TRANSIT_ROW}", json.dumps([TRANSIT_ROW])]
)
def test_a_transit_gateway_log_without_header(tmp_path: Path, text: str) -> None:
    """Rows in the default format of transit gateways are read by it, as CloudWatch Logs has them."""
    (tmp_path / "a.log").write_text(f"{text}\n")
    found = witnesses.read([tmp_path]).flow_log
    assert found is not None
    assert (found.log.transit, found.log.texts("tgw-pair-attachment-id").tolist()) == ([True], ["tgw-attach-2"])


@pytest.mark.parametrize(
    "text", ["[]", '{"events": [], "nextForwardToken": "f/1"}', '{"results": [], "status": "Complete"}']
)
def test_nothing_was_logged(tmp_path: Path, text: str) -> None:
    """An answer of CloudWatch Logs without events is a log without rows, and no error."""
    (tmp_path / "a.json").write_text(text)
    found = witnesses.read([tmp_path]).flow_log
    assert found is not None
    assert found.log.rows == [0]


def test_rows_without_header_tell_their_format(tmp_path: Path) -> None:
    """Of several listed formats with as many fields the one that fits is taken; where two fit, neither is guessed."""
    other = scenes.V2.replace("srcaddr dstaddr", "dstport srcport").replace("srcport dstport", "dstaddr srcaddr")
    turned = scenes.V2.replace("srcaddr dstaddr", "dstaddr srcaddr")
    for name, listed in (("right", [other]), ("wrong", [other, turned])):
        folder = tmp_path / name
        folder.mkdir()
        formats = [{"LogFormat": " ".join(f"${{{field}}}" for field in fields.split())} for fields in listed]
        (folder / "formats.json").write_text(json.dumps({"FlowLogs": formats}))
        (folder / "a.log").write_text(f"{ROW}\n")
    found = witnesses.read([tmp_path / "right"]).flow_log
    assert found is not None
    assert found.log.number["srcport"].tolist() == [40_000]
    with pytest.raises(auditor.InputError, match=r"a\.log: .* fit several formats"):
        witnesses.read([tmp_path / "wrong"])


MORE = "vpc-1 subnet-1 i-0a 3 IPv4 198.51.100.7 203.0.113.5 us-east-1 use1-az1 - - - S3 egress 8"
CHOSEN = (
    "123456789012 ACCEPT use1-az1 900 203.0.113.5 443 1764000060 egress i-0a eni-0a1 OK 7 S3 203.0.113.5 - 198.51.100.7 6 "
    "us-east-1 198.51.100.7 40000 1764000000 - - subnet-1 3 8 IPv4 5 vpc-1"
)


@pytest.mark.parametrize(
    ("row", "trail"),
    [
        (f"{ROW} {MORE}", 8),
        (f"{ROW} {MORE} {'- ' * 10}BPA".replace(" ", ","), 8),
        (" ".join(f"{ROW} {MORE}".split()[:21]), -1),
        (CHOSEN, 8),
        (f"{ROW} {MORE.replace('3 IPv4', 'IPv4 3')}", None),
        (f"{ROW} {MORE} extra", None),
    ],
)
def test_all_fields_without_header(tmp_path: Path, row: str, trail: int | None) -> None:
    """Rows of all fields, or of the older ones, are read in AWS's order or its console's; rows in another are refused."""
    (tmp_path / "a.log").write_text(f"{row}\n{row}\n")
    if trail is None:
        with pytest.raises(auditor.InputError, match=r"a\.log: .*without a header needs"):
            witnesses.read([tmp_path])
        return
    found = witnesses.read([tmp_path]).flow_log
    assert found is not None
    log = found.log
    assert log.number["traffic-path"].tolist() == [trail] * 2
    assert (log.number["srcport"].tolist(), log.texts("vpc-id").tolist()) == ([40_000] * 2, ["vpc-1"] * 2)
    assert tuple(log.address["srcaddr"][0].tolist()) == parse_address(
        row.split()[18] if row is CHOSEN else "10.20.1.10"
    )


def formats_of(fields: list[str]) -> str:
    """What `aws ec2 describe-flow-logs` prints of a log with these fields."""
    return json.dumps({"FlowLogs": [{"LogFormat": " ".join(f"${{{name}}}" for name in fields)}]})


def test_formats_in_the_account(tmp_path: Path) -> None:
    """A log without a header is read by the format that lies with what else AWS says of the account."""
    turned = list(reversed(scenes.V2.split()))
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "logs.json").write_text(formats_of(turned))
    (tmp_path / "aws" / "other.json").write_text("{")  # told where it is read as an account
    row = " ".join(reversed(ROW.split()))
    for name, text in (("a.log", row), ("tail.log", f"2025-11-24T16:00:00+00:00 eni-0a1-all {row}")):
        (tmp_path / name).write_text(f"{text}\n")
        found = witnesses.read([tmp_path / name], account=tmp_path / "aws").flow_log
        assert found is not None
        assert found.log.number["srcport"].tolist() == [40_000]
        with pytest.raises(auditor.InputError, match=r"log: (not a log that is known|.*no header)"):
            witnesses.read([tmp_path / name])


def test_several_logs_in_one_file(tmp_path: Path) -> None:
    """Where logs were put into one file, each header holds for the rows behind it, and none counts as a row."""
    names, values = scenes.V2.split(), ROW.split()
    turned = f"{' '.join(reversed(names))}\n{' '.join(reversed(values))}"
    (tmp_path / "a.log").write_text(f"{scenes.V2}\n{ROW}\n{scenes.V2}\n{turned}\n")
    log = read(tmp_path / "a.log")
    assert (log.rows, log.unread, log.number["srcport"].tolist()) == ([2], [0], [40_000, 40_000])


def test_parquet_by_how_it_begins(tmp_path: Path) -> None:
    """A table is read as one whatever its file is called."""
    table = pa.table({name: [value] for name, value in zip(NAMES, ROW.split(), strict=True)})
    pq.write_table(table, tmp_path / "part-00000.log")
    found = witnesses.read([tmp_path]).flow_log
    assert found is not None
    assert found.log.number["srcport"].tolist() == [40_000]


def read(path: Path, window: Window = (None, None)) -> FlowLog:
    reader = flow_logs.LogReader(window=lambda: window)
    reader.add(path)
    return reader.finish()


def columns_of(log: FlowLog) -> dict[str, list[Any]]:
    """All that is known of a log, as plain values."""
    columns = {name: values.tolist() for name, values in log.number.items()}
    columns |= {name: values[:].tolist() for name, values in log.address.items()}
    columns |= {name: log.texts(name).tolist() for name in log.text}
    return columns | {"rows": log.rows, "skipped": log.skipped, "span": log.span, "own": log.own.tolist()}


@pytest.mark.parametrize("name", FORMS)
def test_parts_of_a_log_are_the_log(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bytes are read at once, the rows are the same, in every form."""
    *head, row = FORMS[name].rstrip("\n").splitlines()
    (tmp_path / name).write_text("\n".join([*head, *([row] * 40)]) + "\n" if ".json" not in name else FORMS[name])
    whole = columns_of(read(tmp_path / name))
    for size in (700, 1500):
        monkeypatch.setattr(flow_logs, "PART", size)
        assert columns_of(read(tmp_path / name)) == whole


def test_rows_of_other_times_are_let_go(tmp_path: Path) -> None:
    """Rows that are of another time than the captures are not kept, but the log's rows, span and interfaces are all told."""
    shifted = ROW.replace(scenes.SPAN, f"{scenes.START + 9000} {scenes.START + 9060}")
    (tmp_path / "a.log").write_text(f"{ROW}\n{shifted}\n")
    whole = read(tmp_path / "a.log")
    part = read(tmp_path / "a.log", (scenes.START + 5000, scenes.START + 9500))
    assert (len(whole), len(part)) == (2, 1)
    assert part.number["start"].tolist() == [scenes.START + 9000]
    assert (part.rows, part.skipped, part.span) == (whole.rows, whole.skipped, whole.span)
    assert part.own.tolist() == whole.own.tolist()


def test_a_time_that_is_known_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that came before the captures' time was known are let go then: the log is as if it had been known before."""
    rows = [ROW.replace(scenes.SPAN, f"{scenes.START + 100 * k} {scenes.START + 100 * k + 60}") for k in range(100)]
    (tmp_path / "a.log").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(flow_logs, "PART", 1000)
    window: Window = (scenes.START + 2000, scenes.START + 7000)
    early, late = read(tmp_path / "a.log", window), [(None, None)] * 6
    reader = flow_logs.LogReader(window=lambda: late.pop() if late else window)
    reader.add(tmp_path / "a.log")
    assert columns_of(reader.finish()) == columns_of(early)
    assert 0 < len(early) < 60


OCTETS = st.lists(
    st.integers(0, 300).map(str) | st.sampled_from(["", "00", "01", "-", " ", "1e1"]), min_size=1, max_size=6
)


@given(st.lists(OCTETS.map(".".join) | st.ip_addresses().map(str) | st.text(max_size=18), max_size=20))
def test_addresses_by_the_column(texts: list[str]) -> None:
    """What is an address, and which, is what the parser of single ones says, for any column of texts."""
    high, low, wrong = flow_log_columns._parse(pa.array(texts, pa.string()))
    for at, text in enumerate(texts):
        try:
            expected = (0, 0) if text in ("", "-") else parse_address(text)
        except ValueError:
            expected = None
        assert bool(wrong[at]) == (expected is None), text
        assert expected is None or (int(high[at]), int(low[at])) == expected


@pytest.mark.parametrize("text", ["", f"{scenes.V2}\n", scenes.V2, "@timestamp,@message\n"])
def test_a_log_without_rows(tmp_path: Path, text: str) -> None:
    """An empty log, or one with its header alone, says that nothing was recorded: no error."""
    (tmp_path / "a.log").write_text(text)
    found = witnesses.read([tmp_path]).flow_log
    assert found is not None
    assert (len(found.log), found.log.rows) == (0, [0])


@pytest.mark.parametrize("kind", [11, 12, 32])
def test_other_mrt_records(tmp_path: Path, kind: int) -> None:
    """MRT records that tell no table in force are refused by their name."""
    record = struct.pack(">IHHI", scenes.START, kind, 1, 4) + bytes(4)
    with pytest.raises(auditor.InputError, match="MRT records of type"):
        table_of(tmp_path, record + record)


def test_dead_and_policy_routes(tmp_path: Path) -> None:
    """Dead next hops, routes that are not selected and policy tables are no routes; several in force are all kept."""
    table = table_of(tmp_path, [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": []},
        {"dst": "10.1.0.0/16", "gateway": "192.0.2.2", "dev": "eth1", "flags": ["dead", "linkdown"]},
        {"dst": "10.2.0.0/16", "gateway": "192.0.2.3", "dev": "eth2", "table": "100"},
        {"dst": "10.3.0.0/16", "nexthops": [
            {"gateway": "192.0.2.4", "dev": "eth3", "flags": ["linkdown"]}, {"gateway": "192.0.2.5", "dev": "eth4", "flags": []}]},
    ])  # fmt: skip
    default = Hop(parse_address("192.0.2.1"), "eth0")
    assert find(table, "10.1.1.1") == find(table, "10.2.1.1") == default
    assert find(table, "10.3.1.1") == Hop(parse_address("192.0.2.5"), "eth4")
    rib = {"10.4.0.0/16": [{"protocol": "bgp", "selected": False, "nexthops": [{"ip": "192.0.2.9"}]}],
           "0.0.0.0/0": [{"protocol": "static", "selected": True, "nexthops": [{"ip": "192.0.2.1", "interfaceName": "eth0"}]}]}  # fmt: skip
    assert find(table_of(tmp_path, rib), "10.4.1.1") == Hop(parse_address("192.0.2.1"), "eth0", protocol="static")


HEADER = "   Network          Next Hop            Metric LocPrf Weight Path\n"
EOS_LEGEND = "Route status codes: * - valid, > - active, E - ECMP head, e - ECMP\n"
EOS_HEADER = "          Network                Next Hop              Metric  AIGP       LocPref Weight  Path\n"
BEST, SHARED = "192.0.2.1", ("192.0.2.1", "192.0.2.2")
TABLES = {
    "IOS": (HEADER + f"*> 52.94.0.0/16     {BEST}      0    0 7224 i\n*b                  192.0.2.2     0    0 64500 i\n", (BEST,)),
    "IOS, multipath": (HEADER + f"*mi52.94.0.0/16     192.0.2.2      0    0 7224 i\n*>i                 {BEST}     0    0 64500 i\n", SHARED),
    "IOS, not in the RIB": (HEADER + f"r> 52.94.0.0/16     {BEST}      0    0 7224 i\n", ()),
    "NX-OS": (HEADER + f"*>e52.94.0.0/16     {BEST}      0    0 7224 i\n*&e                 192.0.2.2     0    0 64500 i\n", (BEST,)),
    "NX-OS, multipath": (HEADER + f"*>e52.94.0.0/16     {BEST}      0    0 7224 i\n*|e                 192.0.2.2     0    0 64500 i\n", SHARED),
    "EOS": (EOS_HEADER + f" * >      52.94.0.0/16           {BEST}   0  -  100  0  7224 i\n *        52.94.0.0/16           192.0.2.2   0  -  100  0  64500 i\n", (BEST,)),
    "EOS, multipath": (EOS_LEGEND + EOS_HEADER + f" * >Ec    52.94.0.0/16           {BEST}   0  -  100  0  7224 i\n *  ec    52.94.0.0/16           192.0.2.2   0  -  100  0  64500 i\n", SHARED),
    "FRR with RPKI": (f" {HEADER}V*> 52.94.0.0/16     {BEST}(aws)      0    0 7224 i\nN*= 52.94.0.0/16     192.0.2.2      0    0 64500 i\n", SHARED),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_status_codes_of_routers(tmp_path: Path, name: str) -> None:
    """The paths among which each maker's router spreads flows are all kept; a route that is not in the RIB leads nowhere."""
    text, hops = TABLES[name]
    found = find(table_of(tmp_path, text), "52.94.1.1")
    assert found is not None
    told = {hop.next_hop for hop in (found, *found.others) if hop.next_hop is not None}
    assert told == set(map(parse_address, hops))


def test_routes_of_some_packets_alone(tmp_path: Path) -> None:
    """A route for some sources or types of service leaves open where packets to its prefix go."""
    for condition in ({"from": "10.9.0.0/16"}, {"tos": "0x10"}):
        table = table_of(tmp_path, [
            {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
            {"dst": "10.1.0.0/16", "gateway": "192.0.2.2", "dev": "eth1", **condition},
        ])  # fmt: skip
        assert find(table, "10.1.1.1") == Hop()
    recursive = {"10.4.0.0/16": [{"protocol": "bgp", "selected": True, "nexthops": [
        {"ip": "10.255.0.1", "active": True, "recursive": True},
        {"ip": "192.0.2.1", "active": True, "fib": True, "resolver": True, "interfaceName": "eth0"}]}]}  # fmt: skip
    assert find(table_of(tmp_path, recursive), "10.4.1.1") == Hop(parse_address("192.0.2.1"), "eth0", protocol="bgp")
