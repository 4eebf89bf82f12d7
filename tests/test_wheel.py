"""The wheel works without the repository, also where site-packages cannot be written."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT, SAMPLES


@pytest.mark.slow
def test_wheel_in_an_empty_environment(tmp_path: Path, home: Path) -> None:
    """Build it, install it into a new virtual environment, run it from another folder with everything read-only."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    environment_folder = tmp_path / "venv"
    venv.create(environment_folder, with_pip=True)
    python = environment_folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    packages = next((environment_folder / "lib").glob("python*")) / "site-packages" / "auditor"
    subprocess.run(["chmod", "-R", "a-w", str(packages)], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "AUDITOR_CACHE_DIR": str(home)}
    environment.pop("PYTHONPATH", None)
    command = [
        str(environment_folder / "bin" / "audit"),
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
