"""Results for other programs: each form is read by that program's own reader, or fits its published schema."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter

import auditor
from auditor.report import overview
from auditor.report.formats import FORMS, xlsx
from tests import commands, wire


def written(result: auditor.Audit, form: str) -> bytes:
    out = io.BytesIO()
    FORMS[form].write(result, out)
    return out.getvalue()


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def apart(rows: list[Any], result: Any) -> tuple[list[Any], list[Any]]:
    """The rows of findings, and those behind them of what was not judged: a form without these would let silence be a pass."""
    count = len(result.findings)
    assert len(rows) > count
    return rows[:count], rows[count:]


@pytest.mark.parametrize("form", ["asff", "ocsf", "ecs", "cef", "syslog", "concise", "sarif", "markdown"])
def test_every_form_says_what_was_not_judged(audit_bytes: Any, form: str) -> None:
    """Rules that could not judge, with the reason, and flows that no rule is about, are told where there is no finding at all."""
    hello = wire.record(22, wire.client_hello("pinpoint.us-east-1.amazonaws.com"))
    told = audit_bytes(wire.pcap([*wire.Talk().open().play([("c", hello)]).packets, wire.datagram(bytes(40), 7, 9)]))
    text = re.sub(r"\\u[0-9a-f]{4}", "-", _written(told, form)).replace("\\", "")
    assert "NET101" in text
    assert "the end of the TLS handshake is not in the capture" in text
    assert "not recognised" in text
    assert re.search("Flows that pass|Other flows", text)
    nothing = _written(audit_bytes(wire.pcap([])), form)
    assert re.search("[Nn]othing was judged: no flow was seen|no packets", nothing)


def test_asff_is_what_security_hub_takes(office: Any) -> None:
    """Findings fit botocore's shape of BatchImportFindings, with every required member."""
    from botocore.session import get_session
    from botocore.validate import ParamValidator

    found, more = apart(json.loads(written(office, "asff")), office)
    shape = get_session().get_service_model("securityhub").operation_model("BatchImportFindings").input_shape
    report = ParamValidator().validate({"Findings": [*found, *more][:100]}, shape)
    assert not report.has_errors(), report.generate_report()
    assert len(found) == len(office.findings)
    assert {one["Compliance"]["Status"] for one in found} == {"FAILED", "WARNING"}
    assert {one["Compliance"]["Status"] for one in more} == {"NOT_AVAILABLE"}


def test_ocsf_findings_are_read_by_its_models(office: Any) -> None:
    """Compliance findings are OCSF's; network activities have what class 4001 requires, and the path as boundary."""
    from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding

    events = lines(written(office, "ocsf"))
    every = [ComplianceFinding(**event) for event in events if event["class_uid"] == 2003]
    findings, more = apart(every, office)
    assert len(findings) == len(office.findings)
    assert {one.compliance.status_id for one in more} == {0}
    traffic = [event for event in events if event["class_uid"] == 4001]
    assert (len(traffic), sum("tls" in event for event in traffic)) == (21, 19)
    for event in traffic:
        assert {"time", "metadata", "severity_id", "activity_id", "type_uid", "dst_endpoint", "category_uid"} <= set(
            event
        )
        assert event["connection_info"]["direction_id"] == 2 or "svc_name" not in event["dst_endpoint"]
        assert event["metadata"]["version"] == "1.8.0"
        if "tls" in event:
            assert event["tls"]["version"]
    boundaries = {event["unmapped"]["path"]: event["connection_info"]["boundary_id"] for event in traffic}
    assert boundaries == {"direct-connect": 6, "vpn": 6, "vpc": 4, "internet": 5}


def test_sarif_is_read_by_its_tools(office: Any, tmp_path: Path) -> None:
    """sarif-tools reads the file and counts what the findings say; every result has a rule of the driver."""
    from sarif import loader

    path = tmp_path / "out.sarif"
    path.write_bytes(written(office, "sarif"))
    told = loader.load_sarif_file(str(path))
    assert len(told.get_results()) == len(office.findings) == 24
    run = json.loads(path.read_text())["runs"][0]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["artifacts"][0]["hashes"]["sha-256"] == office.captures["sha256"].iloc[0]
    told_beside = [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]]
    assert told_beside[0] == office.answer  # and what was not judged: no result is no approval
    whole = [f"{words}: {listed}" for words, listed in overview.not_judged_words(office)]
    assert told_beside[1 : 1 + len(whole)] == whole
    assert {text.split(" ")[0] for text in told_beside[1 + len(whole) :]} == set(office.manifest["not_observable"])


@pytest.mark.parametrize(("form", "version"), [("cbom", "V1_6"), ("cbom-1.7", "V1_7")])
def test_cbom_fits_its_schema(office: Any, form: str, version: str) -> None:
    """The bill of materials fits the schema of its edition of CycloneDX, and lists the suites that were negotiated."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = written(office, form).decode()
    assert JsonStrictValidator(SchemaVersion[version]).validate_str(text) is None
    components = json.loads(text)["components"]
    suites = {
        suite["name"]
        for one in components
        for suite in one["cryptoProperties"].get("protocolProperties", {}).get("cipherSuites", [])
    }
    assert suites == set(office.handshakes["cipher_suite"].dropna())
    assert sum("certificateProperties" in one["cryptoProperties"] for one in components) == len(office.certificates)


@pytest.mark.parametrize("form", ["cbom", "cbom-1.7"])
def test_cbom_names_key_exchange_signature_and_keys(office: Any, form: str) -> None:
    """Groups, signatures, certificates' keys have components, and all that is referred to is there."""
    told = json.loads(written(office, form))
    parts = {part["bom-ref"]: part for part in told["components"]}
    names = {part["name"] for part in parts.values()}
    groups = set(office.handshakes["key_exchange_group"].dropna())
    assert groups
    assert groups <= names
    assert set(office.handshakes["signature_scheme"].dropna()) <= names
    for row in office.certificates.to_dict("records"):
        key = parts[f"crypto/key/{row['certificate_id']}"]["cryptoProperties"]["relatedCryptoMaterialProperties"]
        assert key["algorithmRef"] in parts
    suites = [
        suite
        for part in parts.values()
        for suite in part["cryptoProperties"].get("protocolProperties", {}).get("cipherSuites", ())
    ]
    assert {one for suite in suites for one in suite.get("algorithms", ())} <= set(parts)


@pytest.mark.parametrize("name", ["ssl", "conn"])
def test_zeek_logs_are_read_by_zat(office: Any, tmp_path: Path, name: str) -> None:
    """zat reads our logs as Zeek's: as many lines as rows, with Zeek's names of versions."""
    from zat.zeek_log_reader import ZeekLogReader

    path = tmp_path / f"{name}.log"
    path.write_bytes(written(office, f"zeek-{name}"))
    found = list(ZeekLogReader(str(path)).readrows())
    assert len(found) == len(office.handshakes if name == "ssl" else office.flows)
    assert len({row["uid"] for row in found}) == (19 if name == "ssl" else 29)
    if name == "ssl":
        assert {"TLSv12", "TLSv13", "SSLv3"} <= {row["version"] for row in found}
        assert all("\t" not in str(row["server_name"]) for row in found)


def test_ecs_events(office: Any) -> None:
    """Each handshake is an event with the fields of ECS, and none that is missing."""
    every = lines(written(office, "ecs"))
    events, more = every[: len(office.handshakes)], every[len(office.handshakes) :]
    assert {event["event"]["dataset"] for event in events} == {"auditor.tls"}
    assert {event["event"]["dataset"] for event in more} == {"auditor.not_judged"}
    assert all(event["message"].startswith("Not judged: ") for event in more)
    versions = {event["tls"].get("version") for event in events}
    assert {"1.2", "1.3"} <= versions
    assert "null" not in written(office, "ecs").decode()
    assert all(event["source"]["mac"].count("-") == 5 for event in events)


def test_cef_has_the_findings(office: Any) -> None:
    """Each line is a header of seven fields and an extension of keys and values, with all of a finding in it."""
    lines, more = apart(_written(office, "cef").splitlines(), office)
    assert len(lines) == len(office.findings)
    assert all("|Not judged: " in line for line in more)
    for line, row in zip(lines, office.records("findings"), strict=True):
        *header, extension = re.split(r"(?<!\\)\|", line, maxsplit=7)
        assert header[:3] == ["CEF:0", "traffic-auditor", "audit"]
        assert header[4:6] == [row["rule"], row["title"]]
        assert 0 <= int(header[6]) <= 10
        values = dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", extension))
        assert int(values["cnt"]) == row["flows"]
        assert values["cs1"] == row["client_group"]
        assert values["reason"] == row["reason"]


def test_cef_escapes_what_would_end_a_field(hostile: auditor.Audit) -> None:
    """Texts from the network neither end a line nor begin a field or a key of their own."""
    for line in _written(hostile, "cef").splitlines():
        assert line.startswith("CEF:0|")
        assert line.isprintable()
        assert len(re.split(r"(?<!\\)\|", line.split("externalId=")[0])) == 8


def test_syslog_carries_the_same(office: Any) -> None:
    """As syslog, each message has RFC 5424's header, with severity and time of the finding, and is the line of CEF."""
    plain, wrapped = (_written(office, form).splitlines() for form in ("cef", "syslog"))
    for one, message in zip(plain, wrapped, strict=True):
        head = re.match(r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) - audit - ([A-Z]+\d{3}|-) - ", message)
        assert head is not None
        assert 104 <= int(head[1]) <= 111
        assert message[head.end() :] == one


def _written(result: Any, form: str) -> str:
    out = io.BytesIO()
    result.export(form, out)
    return out.getvalue().decode()


def test_pci_inventory(office: Any) -> None:
    """Every suite in use is in the inventory, with where and what for, and as many handshakes."""
    found = list(csv.DictReader(io.StringIO(written(office, "pci-inventory").decode())))
    assert {row["cipher_suite"] for row in found} == set(office.handshakes["cipher_suite"].dropna())
    assert sum(int(row["handshakes"]) for row in found) == office.handshakes["cipher_suite"].notna().sum()
    assert all(row["purpose"] and row["where_used"] and row["first_seen"] <= row["last_seen"] for row in found)


def test_workbook(office: Any, hostile: auditor.Audit) -> None:
    """A workbook has a sheet for each table with all rows, and no text became a formula."""
    from openpyxl import load_workbook

    for result in (office, hostile):
        book = load_workbook(io.BytesIO(written(result, "xlsx")))
        assert book["flows"].max_row == len(result.flows) + 1
        assert book.sheetnames[0] == "findings"
        for sheet in book:
            for row in sheet.iter_rows(max_row=50):
                assert all(cell.data_type != "f" for cell in row)


def test_markdown(office: Any, hostile: auditor.Audit) -> None:
    """The report says what the terminal says; names from the network are neither Markdown nor HTML in it."""
    text = written(office, "markdown").decode()
    assert f"## Findings ({len(office.findings)})" in text
    assert all(identifier in text.replace("\\", "") for identifier in office.findings["finding_id"])
    bad = written(hostile, "markdown").decode()
    assert "<script>" not in bad
    assert re.search(r"(?<!\\)\]\(", bad) is None  # no link
    assert "\x1b" not in bad


@pytest.mark.parametrize("form", [*FORMS, "csv", "jsonl", "json", "parquet"])
def test_export_command_is_deterministic(office: Any, tmp_path: Path, form: str) -> None:
    """Saved results are written in every form, twice the same."""
    one, other = tmp_path / "1", tmp_path / "2"
    words = ("export", str(office.folder), "--format", form, "-o")
    assert commands.run(*words, one, check=True).stdout == ""
    # A process of its own, which has random hashes of its own.
    subprocess.run([sys.executable, "-m", "auditor", *words, str(other)], check=True)
    assert one.read_bytes() == other.read_bytes()
    assert len(one.read_bytes()) > 100


def test_every_form_is_an_option() -> None:
    """What can be written can be asked for."""
    from auditor.cli.app import Format

    assert {form.value for form in Format} == {"table", "json", "jsonl", "csv", "parquet", *FORMS}


def test_a_bill_of_materials_names_twenty_places(audit_bytes: Any) -> None:
    """Of the places where a version of TLS was seen the first twenty are named: enough to find the others."""
    flights = [("c", wire.record(22, wire.client_hello())), ("s", wire.record(22, wire.server_hello()))]
    talks = [wire.Talk(40_000 + number).open().play(flights) for number in range(21)]
    result = audit_bytes(wire.pcap([packet for talk in talks for packet in talk.packets]))
    assert len(result.handshakes) == 21
    components = json.loads(written(result, "cbom"))["components"]
    (places,) = (one["evidence"]["occurrences"] for one in components if "evidence" in one)
    assert len(places) == 20


def test_a_cell_holds_what_a_spreadsheet_takes() -> None:
    """A cell has 32,767 characters at most (Excel's specifications and limits); the rest is cut off."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        xlsx._cell(book.add_worksheet(), 0, 0, "x" * 40_000)
    assert len(openpyxl.load_workbook(io.BytesIO(out.getvalue())).active["A1"].value) == 32_767
