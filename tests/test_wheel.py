"""The wheel works without the repository, also where site-packages cannot be written."""

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from auditor.flows.text import write_addresses
from auditor.machine import kernel, objects
from tests.conftest import ROOT, SAMPLES


def keep_all_but_one(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Keep the machine code of all kernels but a small one in ``place``: to compile all takes minutes of two cores."""
    named = kernel.names(one for one in kernel.KERNELS.values() if one is not write_addresses)
    kept = {name: one.machine_code for name, one in named.items() if one.machine_code is not None}
    with monkeypatch.context() as patch:
        patch.setenv("AUDITOR_CACHE_DIR", str(place))
        objects.store(kept)


@pytest.mark.slow
def test_wheel_in_an_empty_environment(
    office: Any, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Build it, install it into a new virtual environment, run it from another folder with everything read-only.

    What it has no machine code for is compiled there; what is kept of the same sources elsewhere is taken.
    """
    del office  # its audit has registered the kernels
    keep_all_but_one(monkeypatch, home)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    environment_folder = tmp_path / "venv"
    venv.create(environment_folder, with_pip=True)
    python = environment_folder / "bin" / "python"
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        str(wheel),
    ]  # most modules are never imported
    subprocess.run(install, check=True, capture_output=True)
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
