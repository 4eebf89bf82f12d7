"""The notebooks run from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import HANG, ROOT


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebook(path: Path) -> None:
    """Every cell runs, in a fresh kernel, from the notebook's own folder."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=HANG,
        startup_timeout=HANG,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
