"""The wheel works without the repository, also where site-packages cannot be written."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT, SAMPLES


@pytest.mark.slow
def test_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    """Build it, install it into a new virtual environment, run it from another folder with everything read-only."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    packages = next((home / "lib").glob("python*")) / "site-packages" / "auditor"
    subprocess.run(["chmod", "-R", "a-w", str(packages)], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    command = [
        str(home / "bin" / "audit"),
        "pcap",
        str(SAMPLES / "office.pcapng"),
        "--topology",
        str(SAMPLES / "site.toml"),
    ]
    try:
        first = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
        second = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(packages)], check=True)
    assert "19 TLS handshakes" in first.stdout
    assert "compiling the kernels" in first.stderr
    assert "compiling the kernels" not in second.stderr
    assert first.stdout == second.stdout
    assert (packages / "py.typed").exists()
