"""What a release consists of is known: locked packages by their hashes, a bill of materials, licences."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

LOCKS = {"run": [], "dev": ["dev"]}  # groups of pyproject.toml besides the package with all extras
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, list[tuple[str, str]]]:
    """What a lock pins: for each package versions, with all that stands behind them."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    found: dict[str, list[tuple[str, str]]] = {}
    for one in re.split(r"\n(?=[a-z0-9])", text):
        match = re.match(r"([a-z0-9._-]+)==([^ ;\\]+)(.*)", one, re.DOTALL)
        assert match is not None, one[:100]
        found.setdefault(str(canonicalize_name(match[1])), []).append((match[2], match[3]))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_locks_are_complete(name: str) -> None:
    """Each package that the project names is locked in a version that it accepts, by hashes, from no index that is named."""
    pins = locked(name)
    wanted = [
        *PROJECT["project"]["dependencies"],
        *(one for group in LOCKS[name] for one in PROJECT["dependency-groups"][group]),
    ]
    wanted += [one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra]
    for requirement in map(Requirement, wanted):
        versions = pins[str(canonicalize_name(requirement.name))]
        assert all(version in requirement.specifier for version, _ in versions), requirement
    for versions in pins.values():
        assert all("--hash=sha256:" in rest for _, rest in versions)
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"://|--(index|extra|find|trusted)", text)


def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "requirements" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_bill_of_materials(wheel: Path) -> None:
    """It is valid CycloneDX, holds every locked package once, and says which licence scapy has."""
    done = subprocess.run(
        [sys.executable, ROOT / "requirements" / "sbom.py", wheel], capture_output=True, text=True, check=True
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.stdout) is None
    bill = json.loads(done.stdout)
    assert bill["metadata"]["component"]["name"] == PROJECT["project"]["name"]
    names = sorted(canonicalize_name(one["name"]) for one in bill["components"])
    assert names == sorted(locked("run"))
    scapy = next(one for one in bill["components"] if one["name"] == "scapy")
    assert "GPL-2.0" in json.dumps(scapy["licenses"])
    (root,) = (one for one in bill["dependencies"] if one["ref"] == bill["metadata"]["component"]["bom-ref"])
    assert len(root["dependsOn"]) >= len(PROJECT["project"]["dependencies"])


def test_licences_of_others_are_named(wheel: Path) -> None:
    """Whoever gets the wheel, or reads the README, is told of scapy's licence."""
    with zipfile.ZipFile(wheel) as archive:
        notice = next(name for name in archive.namelist() if name.endswith("/NOTICE"))
        assert "GPL-2.0-only" in archive.read(notice).decode()
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    assert "License-File: NOTICE" in metadata
    assert "scapy" in metadata.split("GPL-2.0-only", maxsplit=1)[0]
    assert "GPL-2.0-only" in (ROOT / "README.md").read_text()


def test_licences_as_packages_state_them() -> None:
    """An expression counts before a name, a name before a classifier, and a whole text for nothing."""
    from email.message import Message

    told = sbom().licence

    def about(**fields: str) -> Message:
        message = Message()
        for name, value in fields.items():
            message[name.replace("_", "-")] = value
        return message

    assert told(about(License_Expression="MIT", License="x")) == "MIT"
    assert told(about(License="BSD", Classifier="License :: OSI Approved :: MIT License")) == "BSD"
    assert told(about(License="long " * 50, Classifier="License :: OSI Approved :: MIT License")) == "MIT"
    assert told(about(License="UNKNOWN")) is None
