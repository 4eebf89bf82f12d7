"""A headless Chromium, and pages of audits opened in it."""

import io
import shutil
from pathlib import Path
from typing import Any

import auditor
from auditor.report import page
from tests.conftest import HANG

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def html(result: auditor.Audit) -> bytes:
    """The page of an audit."""
    out = io.BytesIO()
    page.write(result, out)
    return out.getvalue()


def kept(result: auditor.Audit, folder: Path) -> Path:
    """The page of an audit as a file."""
    path = folder / "report.html"
    path.write_bytes(html(result))
    return path


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
