"""Hints to install something work where the package came from."""

import json
from importlib import metadata
from types import SimpleNamespace

import pytest

from auditor.machine import installing


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'traffic-auditor[xlsx]'"),
        ({"url": "file:///opt/my%20src", "dir_info": {}}, "pip install '/opt/my src[xlsx]'"),
        ({"url": "file:///opt/src", "dir_info": {"editable": True}}, "pip install -e '/opt/src[xlsx]'"),
        (
            {"url": "file:///tmp/traffic_auditor-1-py3-none-any.whl", "archive_info": {}},
            "pip install '/tmp/traffic_auditor-1-py3-none-any.whl[xlsx]'",
        ),
        (
            {"url": "https://example.com/auditor.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'traffic-auditor[xlsx] @ git+https://example.com/auditor.git@abc'",
        ),
        (
            {"url": "https://example.com/a.whl", "archive_info": {}},
            "pip install 'traffic-auditor[xlsx] @ https://example.com/a.whl'",
        ),
    ],
)
def test_where_it_came_from(monkeypatch: pytest.MonkeyPatch, origin: object, command: str) -> None:
    """An extra is installed from the index, folder, archive or repository that the package is from."""
    text = None if origin is None else json.dumps(origin)
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert installing.install("xlsx") == command


def test_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an installed package the hint is for the project's folder."""

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert installing.install("aws") == "pip install '.[aws]' in the project's folder"
