"""What tests share: where the samples, the corpus and the bench captures are."""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import auditor
from tests import cuts
from tests.skips import pytest_addoption, pytest_make_collect_report, pytest_runtest_makereport

os.environ.pop("COLUMNS", None)  # which those set that run tests side by side; programs take it for a terminal's width

__all__ = ["pytest_addoption", "pytest_make_collect_report", "pytest_runtest_makereport"]
ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "captures"
# Files that take longest, the longest first: workers begin with them, and end together with what is short.
LONGEST = (
    *(
        "corpus",
        "wheel",
        "python",
        "terminal",
        "memory",
        "exit_codes",
        "fuzz",
        "requests",
        "variants",
        "hostile_folder",
    ),
    *("stores", "resume", "lab", "tls", "machine_code", "rule_captures", "shares", "page", "outsiders", "carriers"),
    *("jobs", "beside_each_other", "law", "notebook", "aggregates", "datagrams", "cluster", "store_results", "clouds"),
)
# However busy a machine is: how long an example takes fails no test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
HANG = 600  # seconds after which something is taken to hang, on however busy a machine; nothing is measured by it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the files that take longest first; all others stay as they are."""
    place = {f"test_{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The public captures with other tools' answers; tests that need it are skipped where none is named."""
    named = os.environ.get("AUDITOR_CORPUS")
    path = Path(named) if named is not None else ROOT.parent / "shared" / "corpus"
    if not (path / "manifest.csv").exists():
        assert named is None, f"AUDITOR_CORPUS: no corpus at {path}"
        pytest.skip("no corpus; set AUDITOR_CORPUS")
    return path


@pytest.fixture(scope="session")
def office() -> Any:
    """The audit of the office sample with its topology."""
    return auditor.audit(SAMPLES / "office.pcapng", topology=SAMPLES / "site.toml")


@pytest.fixture(scope="session")
def wholes() -> dict[str, Any]:
    """What audits of whole samples say, by their names."""
    found = {}
    for name in cuts.NAMES:
        with closing(auditor.audit(SAMPLES / f"{name}.pcapng", cuts.SITE)) as result:
            found[name] = cuts.said(result)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright import sync_api

    from tests.browser import CHROMIUM

    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=HANG * 1000)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The audit of texts that were crafted to do harm."""
    from tests import hostile as crafted

    return auditor.audit(crafted.write(tmp_path_factory.mktemp("hostile")))


@pytest.fixture(scope="session")
def handshakes() -> Any:
    """The module that makes the samples' handshakes."""
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def audit_bytes(tmp_path: Path) -> Callable[..., auditor.Audit]:
    """Audit a capture given as bytes."""

    def run(data: bytes, name: str = "test.pcap", **options: Any) -> auditor.Audit:
        path = tmp_path / name
        path.write_bytes(data)
        return auditor.audit(path, **options)

    return run


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of which all folders on the way are this user's or root's; a test's usual one is in a shared one."""
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="auditor-test-") as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a store that plays S3, whose address the environment has."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    import boto3

    from tests import web

    with pytest.MonkeyPatch.context() as patch, web.s3_server() as url:
        for name, value in {**web.S3_SETTINGS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        client = boto3.client("s3")
        client.create_bucket(Bucket="captures")
        yield client


@pytest.fixture
def by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a capture be known again by its time alone: only who reads it sees that it holds something else."""
    monkeypatch.setattr("auditor.capture.inputs.stamp_of", lambda status: str(status.st_mtime_ns))
