"""The report on paper: everything open, nothing cut, each page says what it is about."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import auditor
from tests.browser import kept, opened

PAPERS = {"A4": (595, 842), "Letter": (612, 792)}  # points
MARGIN = 28  # points that are left free at each side: 10 of the 12 mm of the style sheet


@pytest.fixture(scope="module", params=PAPERS)
def printed(
    request: pytest.FixtureRequest, browser: Any, office: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The page of the office as a PDF, printed from the dark scheme."""
    return on_paper(browser, office, tmp_path_factory.mktemp("print"), request.param)


def on_paper(browser: Any, result: auditor.Audit, folder: Path, paper: str) -> Path:
    """The page of an audit as a PDF, its name that of the paper."""
    tab, said = opened(browser, kept(result, folder), color_scheme="dark")
    path = folder / f"{paper}.pdf"
    tab.pdf(path=path, format=paper, print_background=True)
    assert said == []
    tab.close()
    return path


def text_of(path: Path) -> str:
    """The text of a PDF on one line, as it was written: how it was broken into lines does not matter."""
    command = ["pdftotext", "-raw", str(path), "-"]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def words_of(path: Path) -> list[tuple[float, float, str]]:
    """The words of a PDF, with where each begins and ends from the left."""
    command = ["pdftotext", "-bbox", str(path), "-"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r'<word xMin="([\d.-]+)" yMin="[\d.-]+" xMax="([\d.-]+)" yMax="[\d.-]+">(.*?)</word>', out)
    return [(float(left), float(right), word) for left, right, word in found]


def squeezed(text: str) -> str:
    """Text without spaces: long words are broken where a column ends."""
    return re.sub(r"\s+", "", text)


def test_everything_is_open(printed: Path, office: Any) -> None:
    """The answer, each problem, each finding's reason and frames, and what to do are on paper."""
    text = squeezed(text_of(printed))
    assert squeezed(office.answer) in text
    for row in office.problems.to_dict("records"):
        assert squeezed(f"{row['client_group']} → {row['service']} {row['region'] or ''}") in text or not row["region"]
    for row in office.findings.to_dict("records"):
        assert squeezed(row["reason"]) in text
        assert squeezed(f"frames {row['sample_frames']}") in text
        assert squeezed(office.rule(row["rule"])["fix"]) in text


def test_nothing_is_cut(printed: Path, office: Any) -> None:
    """No word is nearer to the edge of the paper than its margin, and labels of charts and cells of tables are whole."""
    width = PAPERS[printed.stem][0]
    words = words_of(printed)
    assert len(words) > 1000
    assert [word for left, right, word in words if left < MARGIN or right > width - MARGIN] == []
    text = text_of(printed)
    for label in ("social-messaging us-east-1", "direct-connect (confirmed)", "internet (confirmed)"):
        assert label in text
    close = squeezed(text)
    for name in [*office.flows["cipher_suite"].dropna().unique(), *office.flows["server_name"].dropna().unique()]:
        assert name in close
    assert office.captures["sha256"][0] in close


def test_each_page_says_what_it_is_about(printed: Path, office: Any) -> None:
    """At the foot of each page are the capture, its SHA-256, and the number of the page."""
    information = subprocess.run(["pdfinfo", str(printed)], capture_output=True, text=True, check=True).stdout
    pages = int(re.findall(r"Pages: +(\d+)", information)[0])
    assert pages > 2
    for number in range(1, pages + 1):
        command = ["pdftotext", "-f", str(number), "-l", str(number), "-raw", str(printed), "-"]
        text = squeezed(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert f"{number}/{pages}" in text
        assert office.captures["sha256"][0] in text
        assert squeezed(office.manifest["inputs"][0]["name"][-40:]) in text


def test_hostile_names_on_paper(browser: Any, hostile: auditor.Audit, tmp_path: Path) -> None:
    """However long and odd names are, they end within the paper."""
    path = on_paper(browser, hostile, tmp_path, "A4")
    width = PAPERS["A4"][0]
    assert [word for left, right, word in words_of(path) if left < MARGIN or right > width - MARGIN] == []


PARTED = """() => {
  const wrong = [];
  for (const one of document.querySelectorAll(".whole, #flows .mark, #flows .code")) {
    const words = document.createRange(), text = one.firstChild;
    if (!text || !one.getClientRects().length) continue;
    for (const match of text.data.matchAll(/\\S+/g)) {
      words.setStart(text, match.index);
      words.setEnd(text, match.index + match[0].length);
      if (new Set([...words.getClientRects()].map((box) => Math.round(box.top))).size > 1) wrong.push(match[0]);
    }
    const cell = one.closest("td, th, p, li, h3");
    if (cell && one.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1) wrong.push(`${one.textContent} leaves its cell`);
  }
  return wrong;
}"""


WIDTHS = [*((width, "screen") for width in (420, 800, 1000, 1400)), *((width, "print") for width in (703, 725))]


@pytest.mark.parametrize(("width", "media"), WIDTHS)
def test_no_word_is_parted(browser: Any, office: auditor.Audit, tmp_path: Path, width: int, media: str) -> None:
    """No address, label of a name, path, verdict or piece of a suite is parted or leaves its cell, at any width and on paper."""
    tab, said = opened(browser, kept(office, tmp_path), viewport={"width": width, "height": 1000})
    tab.emulate_media(media=media)
    assert tab.locator("#flows .whole").count() > 100
    assert tab.evaluate(PARTED) == []
    assert said == []
    tab.close()


def test_paper_says_what_was_chosen(browser: Any, office: auditor.Audit, tmp_path: Path) -> None:
    """A page that is printed while flows are chosen says so, above problems and flows."""
    tab, said = opened(browser, kept(office, tmp_path))
    tab.goto(f"{tab.url}#version=TLS%201.0")
    tab.wait_for_function("document.getElementById('printed').textContent")
    path = tmp_path / "A4.pdf"
    tab.pdf(path=path, format="A4")
    text = text_of(path)
    assert "1 of 9 problems, 2 of 29 flows are shown" in text
    assert "2 of 29 flows (Version: TLS 1.0)" in text
    assert said == []
    tab.close()


@pytest.mark.parametrize("width", [420, 1000, 1400])
def test_no_address_of_a_diff_is_parted(
    browser: Any, office: auditor.Audit, hostile: auditor.Audit, tmp_path: Path, width: int
) -> None:
    """What changed is readable at every width: no address or date ends in the middle, and nothing is wider than the screen."""
    path = tmp_path / "change.html"
    office.export_diff(hostile, "html", path)
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto(path.as_uri())
    assert tab.locator(".changes .whole").count() > 50
    assert tab.evaluate(PARTED) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_heads_of_the_flows_are_on_each_page(printed: Path) -> None:
    """Each printed page that holds flows begins with what their columns are."""
    command = ["pdftotext", "-layout", str(printed), "-"]
    pages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\f")
    with_flows = [text for text in pages if len(re.findall(r"^ *[0-9a-f]{7} +[✕!?–]", text, re.MULTILINE)) > 1]
    assert len(with_flows) > 1
    assert all(re.search(r"flow +verdict +started .*findings", text) for text in with_flows)
