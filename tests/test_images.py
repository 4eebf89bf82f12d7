"""The pictures of the README are made by their script, and are there."""

import importlib.util
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import CHROMIUM
from tests.conftest import ROOT

IMAGES = ROOT / "docs" / "images"


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG (its IHDR)."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def test_pictures_that_are_shown_are_there() -> None:
    """Each picture that the README or a page of the documentation shows lies in docs/images, and none lies there for nothing."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    shown = {name for text in texts for name in re.findall(r"images/([\w-]+\.png)", text)}
    assert shown == {path.name for path in IMAGES.iterdir()}
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 2_000_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_script_makes_them(tmp_path: Path) -> None:
    """The script makes every picture, as wide as it says."""
    script = ROOT / "docs" / "screenshots.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    spec = importlib.util.spec_from_file_location("screenshots", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["screenshots"] = module
    spec.loader.exec_module(module)
    assert (
        {path.stem for path in tmp_path.iterdir()} == set(module.PICTURES) == {path.stem for path in IMAGES.iterdir()}
    )
    for name, picture in module.PICTURES.items():
        width, height = size(tmp_path / f"{name}.png")
        assert width <= picture.width
        assert height > 300
        if picture.section is None:
            assert (width, height) == (picture.width, picture.height)
