"""The report as a page: opened in a real browser, it answers, filters, and shows hostile names as text."""

import base64
import gzip
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report import page
from tests import wire
from tests.conftest import HANG

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def html(result: auditor.Audit) -> bytes:
    out = io.BytesIO()
    page.write(result, out)
    return out.getvalue()


def test_the_page_is_one_file(office: Any, hostile: auditor.Audit) -> None:
    """Nothing is fetched, nothing from the capture is in it but packed, and the same audit gives the same bytes."""
    for result in (office, hostile):
        text = html(result).decode()
        assert not re.findall(r"""(?:src|href)=["']?(?!#)(?:https?:|//)""", text)
        assert "default-src 'none'" in text
        assert "evil.example" not in text
        assert text.encode() == html(result)
        assert len(text) < 3_000_000


def test_what_the_page_says(office: Any) -> None:
    """The facts in the page are those of the tables."""
    facts = page.facts(office)
    embedded = re.search(r'id="data">([^<]+)<', html(office).decode())
    assert embedded is not None
    assert json.loads(gzip.decompress(base64.b64decode(embedded[1]))) == json.loads(json.dumps(facts))
    assert facts["answer"]["flows"] == 19
    assert facts["answer"]["private_flows"] == 17
    assert sum(row[4] for row in facts["paths"]) == facts["answer"]["flows"]
    assert len(facts["findings"]) == len(office.findings)
    assert (
        sum(sum(counts) for counts in facts["versions"]["series"].values())
        == office.handshakes["tls_version"].notna().sum()
    )
    assert facts["inputs"][0]["sha256"] == office.captures["sha256"].iloc[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright import sync_api

    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=HANG * 1000)
        yield chromium
        chromium.close()


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """The page, ready, and what the console said."""
    said: list[str] = []
    tab = browser.new_page(**options)
    tab.set_default_timeout(HANG * 1000)
    tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    tab.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    tab.goto(path.as_uri())
    tab.wait_for_selector("body[data-ready=yes]")
    return tab, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(browser: Any, office: Any, tmp_path: Path, scheme: str) -> None:
    """It opens offline without a word on the console; search, sorting, findings and the theme work by keyboard."""
    (tmp_path / "report.html").write_bytes(html(office))
    tab, said = opened(browser, tmp_path / "report.html", color_scheme=scheme)
    assert tab.inner_text("#sentence").startswith("17 of 19 flows to AWS (92.9 % of the bytes) took a private path")
    assert tab.locator("#sankey svg").count() >= 1
    assert tab.locator("#flows tbody tr").count() == len(office.flows)
    tab.fill("#search", "tls 1.0 10.20.2.50")
    assert tab.inner_text("#hits") == "2 flows"
    tab.fill("#search", "")
    tab.click("#flows th button:has-text('client ip')")
    clients = tab.locator("#flows tbody tr td:nth-child(4)").all_inner_texts()
    assert clients == sorted(clients)
    tab.focus("#finding-list details summary")
    tab.keyboard.press("Enter")
    assert "frame.number in {" in tab.inner_text("#finding-list details[open]")
    tab.click("#theme")
    other = {"light": "dark", "dark": "light"}[scheme]
    assert tab.evaluate("document.documentElement.dataset.theme") == other
    tab.wait_for_timeout(300)
    assert said == []
    tab.close()


def test_hostile_names_in_a_browser(browser: Any, hostile: auditor.Audit, tmp_path: Path) -> None:
    """Names that are markup are shown as text: no element, link or script comes of them."""
    (tmp_path / "report.html").write_bytes(html(hostile))
    tab, said = opened(browser, tmp_path / "report.html")
    assert said == []
    assert tab.locator("main script, main img, main b b, main a[href^=javascript]").count() == 0
    tab.fill("#search", "<script>")
    assert tab.inner_text("#hits") == "1 flows"
    assert "<script>alert(1)</script>" in tab.inner_text("#flows tbody")
    tab.fill("#search", "<img")
    assert r"</script><img\x20src=x\x20onerror=alert(1)>" in tab.inner_text("#flows tbody")
    tab.close()


def test_size_of_a_large_page(tmp_path: Path) -> None:
    """Of twenty-five thousand flows the page has the worst, says so, and stays below six megabytes."""
    packet = wire.datagram(b"x", sport=1024)
    assert packet[34:36] == (1024).to_bytes(2, "big")
    packets = [
        (1_700_000_000 * wire.SECOND + number, packet[:34] + (1024 + number).to_bytes(2, "big") + packet[36:])
        for number in range(25_000)
    ]
    path = tmp_path / "many.pcap"
    path.write_bytes(wire.pcap(packets))
    result = auditor.audit(path)
    assert len(result.flows) == 25_000
    data = html(result)
    assert len(data) < 6_000_000
    facts = page.facts(result)
    assert len(facts["flows"]["flow_id"]) == 20_000
    assert facts["flows_in_all"] == 25_000
