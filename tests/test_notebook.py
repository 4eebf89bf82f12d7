"""The notebooks run from top to bottom, tell what their captures hold, and show figures that need no network."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG, ROOT

# What each prints or shows.
TOLD = {
    "quickstart": ["29 flows, 19 handshakes", "203.0.113.32"],
    "failover": [
        "22 flows of 5 clients went over the internet",
        "from 14:03:40 to 14:20:54 UTC: 17 minutes",
        "The path changed at 2026-11-25 14:02:59",
        "by direct-connect before, by internet from then on",
        "0 of them changed",
    ],
    "week": [
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "% of the week's handshakes agreed on a hybrid group",
        "1 client speaks TLS 1.0, on 7 days, at 02:00",
        "10.20.2.50",
        "answered",
    ],
    "months": [
        "Of 66 judged flows to AWS, 60 (91 %) provably took a private path and 6 did not",
        "Of 72 judged flows to AWS, all provably took a private path",
        "TLS102: 203.0.113.0/24 → ses: Forward secrecy negotiated",
        "TLS101: 10.20.2.0/24 → pinpoint",
        "http in clear",
        "changes.html",
    ],
}
FIGURES = {"quickstart": 1, "failover": 2, "week": 6, "months": 2}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def executed(path: Path) -> Any:
    """A notebook, run in a fresh kernel from its own folder."""
    import nbformat  # which takes seconds, and each worker imports all tests
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=HANG,
        startup_timeout=HANG,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    return notebook


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebook(path: Path) -> None:
    """Every cell runs, what it tells is what its capture holds, and its figures are drawn without a network."""
    outputs = [output for cell in executed(path).cells for output in cell.get("outputs", [])]
    data = [output.get("data", {}) for output in outputs]
    text = "\n".join([output.get("text", "") for output in outputs] + [one.get("text/plain", "") for one in data])
    shown = "\n".join([text, *(one.get("text/html", "") for one in data)])
    assert [words for words in TOLD[path.stem] if words not in shown] == []
    figures = [one for one in data if "application/vnd.plotly.v1+json" in one]
    assert len(figures) == FIGURES[path.stem]
    assert "cdn.plot.ly" not in shown


def test_every_notebook_is_checked() -> None:
    """What a notebook has to tell is listed for each of them."""
    assert {path.stem for path in NOTEBOOKS} == set(TOLD) == set(FIGURES)
