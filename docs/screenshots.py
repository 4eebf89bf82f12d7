"""Makes the pictures of the README: the pages of the samples, as a browser shows them.

    python docs/screenshots.py [FOLDER]

Needs Chromium and playwright (the group ``dev``).
"""

import contextlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import auditor

ROOT = Path(__file__).parent.parent
SAMPLES = Path("captures")  # named as a reader would
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Picture:
    """A picture of a page: its beginning, or one of its sections."""

    page: str
    width: int
    height: int
    scheme: str = "light"
    section: str | None = None  # a selector


PICTURES = {
    "report": Picture("office", 1200, 1180),
    "report-dark": Picture("office", 1200, 1180, "dark"),
    "report-narrow": Picture("office", 420, 1180),
    "fail-over": Picture("failover", 1200, 900, section="section[aria-labelledby=time]"),
    "tls": Picture("week", 1200, 900, section="section[aria-labelledby=tls]"),
    "changes": Picture("changes", 1200, 900),
}


def pages(folder: Path) -> dict[str, Path]:
    """The pages, made from the samples."""
    site = SAMPLES / "site.toml"
    names = {"office": "office.pcapng"} | {
        name: f"{name}.pcapng.gz" for name in ("failover", "week", "october", "november")
    }
    audits = {name: auditor.audit(SAMPLES / capture, topology=site) for name, capture in names.items()}
    made = {name: folder / f"{name}.html" for name in (*audits, "changes")}
    for name, result in audits.items():
        result.export("html", made[name])
    audits["october"].export_diff(audits["november"], "html", made["changes"])
    return made


def take(browser: Any, picture: Picture, page: Path, target: Path) -> None:
    """Open a page and keep what it shows."""
    size = {"width": picture.width, "height": picture.height}
    tab = browser.new_page(viewport=size, color_scheme=picture.scheme)
    tab.goto(page.as_uri())
    if "<script" in page.read_text(encoding="utf-8"):
        tab.wait_for_selector("body[data-ready=yes]")
    if picture.section is None:
        tab.screenshot(path=target)
    else:
        tab.locator(picture.section).screenshot(path=target)
    tab.close()


def main() -> None:
    target = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else ROOT / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit("chromium is not installed")
    with contextlib.chdir(ROOT), tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = pages(Path(folder))
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, picture in PICTURES.items():
            take(browser, picture, made[picture.page], target / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
