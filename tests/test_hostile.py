"""Texts crafted to do harm (names of servers, protocols, certificates, files) are harmless wherever results are read."""

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report.formats import FORMS
from tests import hostile as crafted
from tests.conftest import HANG

# Control characters but line ends, and marks that turn the direction of writing or end a line.
HARMFUL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
SGR = re.compile(rb"\x1b\[[0-9;]*m")  # colours of our own


def test_everything_is_read(hostile: Any) -> None:
    """Each flow has its name, but for one longer than names can be; each agreed protocol and each certificate is there."""
    assert len(hostile.flows) == len(crafted.TEXTS) + len(crafted.INVALID) + 2
    assert hostile.handshakes["server_name"].notna().tolist() == [True] * (len(hostile.handshakes) - 1) + [False]
    assert (
        hostile.handshakes["status"].iloc[-1],
        hostile.handshakes["client_hello_bytes"].iloc[-1] > crafted.LONG,
    ) == (
        "complete",
        True,
    )
    assert hostile.handshakes["alpn"].notna().all()
    assert len(hostile.certificates) > len(crafted.TEXTS)
    assert hostile.captures["sha256"].notna().all()


class Inert(HTMLParser):
    """Reads a page, and fails where anything in it acts, or leads elsewhere than to places of the page itself."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("base", "embed", "form", "iframe", "img", "object"), tag
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name, value)
            if name in ("action", "background", "formaction", "href", "poster", "src", "srcset", "xlink:href"):
                assert (value or "").startswith("#") or value == "data:,", (tag, name, value)  # the empty icon


@pytest.mark.parametrize("form", [*FORMS, "csv", "json", "jsonl"])
def test_forms(hostile: Any, tmp_path: Path, form: str) -> None:
    """No form but the binary one has characters that act; JSON is JSON, and CSV has no formulas."""
    for table in hostile.tables if form in ("csv", "json", "jsonl") else ["flows"]:
        target = tmp_path / "out"
        hostile.export(form, target, table, force=True)
        if form == "xlsx":
            return  # test_workbooks
        text = target.read_bytes().decode("utf-8")
        if form == "html":  # test_page opens it
            Inert().feed(text)
        if form in ("json", "asff", "sarif", "cbom", "cbom-1.7"):
            json.loads(text)
        elif form in ("jsonl", "ocsf", "ecs"):
            assert all(isinstance(json.loads(line), dict) for line in text.split("\n")[:-1])
        assert HARMFUL.search(text) is None, (form, table, HARMFUL.search(text))
        if form in ("csv", "pci-inventory"):
            for row in csv.reader(io.StringIO(text)):
                assert not any(re.match(r"[=+\-@\t\r]", cell) for cell in row)


@pytest.mark.parametrize("options", [(), ("--table", "handshakes", "--format", "csv"), ("--format", "jsonl")])
def test_terminal(tmp_path: Path, options: tuple[str, ...]) -> None:
    """At a terminal nothing comes through but text and our own colours, file name and errors among it."""
    path = crafted.write(tmp_path)
    main, side = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "auditor",
        "pcap",
        str(path),
        "--quiet",
        *options,
    ]  # no progress, however slow the machine
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environment)
    os.close(side)
    data = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        data += piece
    os.close(main)
    assert process.wait() == 0
    text = SGR.sub(b"", data).decode("utf-8").replace("\r\n", "\n")
    assert "evil.example" in text
    assert HARMFUL.search(text) is None, HARMFUL.search(text)


def test_errors_name_the_file_harmlessly(tmp_path: Path) -> None:
    """An error about a file with such a name is one line of text."""
    path = crafted.named(tmp_path)
    path.write_bytes(b"no capture at all")
    done = subprocess.run([sys.executable, "-m", "auditor", "pcap", str(path)], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert HARMFUL.search(done.stderr.decode("utf-8")) is None


def test_such_a_capture_is_read_again(tmp_path: Path) -> None:
    """Evidence is taken from a file whose name is no UTF-8, and its digest verified."""
    result = auditor.audit(crafted.write(tmp_path), out=tmp_path / "results")
    assert {same for _, same, _ in result.verify()} == {True}
    assert result.extract(str(result.findings["finding_id"].iloc[0]), tmp_path / "evidence.pcapng") > 0
    for finding in result.findings["finding_id"]:
        text = result.explain_finding(finding)
        assert HARMFUL.search(text) is None


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_workbooks(hostile: Any, tmp_path: Path, form: str) -> None:
    """LibreOffice opens the workbook and the CSV: no cell is a formula, an error or a link, and names are what they were."""
    from openpyxl import load_workbook

    hostile.export(form, tmp_path / f"a.{form}", "handshakes")
    command = ["soffice", "--headless", f"-env:UserInstallation=file://{tmp_path}/profile", "--convert-to", "ods"]
    again = ["soffice", "--headless", f"-env:UserInstallation=file://{tmp_path}/profile", "--convert-to", "xlsx"]
    for words, name in ((command, f"a.{form}"), ([*again, "--outdir", str(tmp_path / "out")], "a.ods")):
        subprocess.run([*words, name], cwd=tmp_path, capture_output=True, check=True, timeout=HANG)
    book = load_workbook(tmp_path / "out" / "a.xlsx")
    sheet = book["handshakes"] if form == "xlsx" else book.worksheets[0]
    for one in book.worksheets:
        for row in one.iter_rows():
            for cell in row:  # LibreOffice writes truth values as formulas of its own
                assert cell.data_type not in ("f", "e") or cell.value in ("=TRUE()", "=FALSE()")
                assert cell.hyperlink is None
    head = [cell.value for cell in sheet[1]]
    names = [row[head.index("server_name")].value for row in sheet.iter_rows(min_row=2)]
    assert len(names) == len(hostile.handshakes)
    assert sum("cmd|calc" in str(name) for name in names) == 1
