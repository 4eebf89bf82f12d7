"""Reports of the samples, word by word. ``python -m tests.test_golden`` writes them anew; the difference is to be read."""

import io
import shutil
from pathlib import Path

import pytest

import auditor
from auditor.report.export import write
from tests.conftest import ROOT, SAMPLES

GOLDEN = ROOT / "tests" / "golden"
CAPTURES = sorted(path.name for path in SAMPLES.glob("*.pcapng"))


def report(name: str) -> str:
    """The report of a sample as Markdown, with its folder left out."""
    result = auditor.audit(SAMPLES / name, topology=SAMPLES / "site.toml")
    out = io.BytesIO()
    write(result, "markdown", "flows", out)
    result.close()
    return out.getvalue().decode().replace(f"{SAMPLES}/".replace("_", "\\_"), "")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed: requests would not be shown")
@pytest.mark.parametrize("name", CAPTURES)
def test_report(name: str) -> None:
    """The report of each sample is the one that was read through, to the last letter."""
    assert report(name) == (GOLDEN / f"{Path(name).stem}.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    for capture in CAPTURES:
        (GOLDEN / f"{Path(capture).stem}.md").write_text(report(capture), encoding="utf-8")
