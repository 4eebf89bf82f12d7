"""The pages say what is so: every key is documented, examples are read by the program, and links lead somewhere."""

import importlib.util
import re
import types
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from auditor.paths import topology
from auditor.policy import library, model
from tests.conftest import ROOT

GUIDE = ("capture", "audit", "read", "prove", "share")
POLICY = {"policy": model.Policy, "rule": model.Rule, "change": model.RuleChange, "exception": model.Exemption}
SECTIONS = {one.name for one in fields(model.Policy)} & {"rule", "change", "exception", "unseen"}


def generator() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(sections: dict[str, dict[str, Any]], first: str = "") -> str:
    """A file of the examples of all keys; those of ``first`` stand before all sections."""
    parts = []
    for name, section in sorted(sections.items(), key=lambda item: item[0] != first):
        head = [] if name == first else [f"[[{name}]]"]
        parts.append("\n".join([*head, *(f"{key} = {told[1]}" for key, told in section.items() if key != "about")]))
    return "\n".join(parts) + "\n"


def test_every_key_of_a_topology_is_documented(tmp_path: Path) -> None:
    """Each section and key is there with an example, and all of them together are a topology that is read."""
    sections = generator().keys()["topology"]
    classes = {
        "site": topology.Site, "router": topology.Router, "virtual_interface": topology.VirtualInterface,
        "uplink": topology.Uplink, "vpn": topology.Vpn, "vpc": topology.Vpc, "endpoint": topology.VpcEndpoint,
        "attachment": topology.Attachment, "capture_point": topology.CapturePoint, "nat": topology.Nat,
        "routing_table": topology.RoutesFile, "rule": topology.LinkRule,
    }  # fmt: skip
    assert set(sections) == set(classes) == {one.name for one in fields(topology.Topology)}
    for name, kind in classes.items():
        assert set(sections[name]) - {"about"} == {one.name for one in fields(kind)}, name
    (tmp_path / "site.toml").write_text(written(sections))
    site = topology.Topology.read(tmp_path / "site.toml")
    assert site.virtual_interface[0].macsec == "Encryption Up"


def test_every_key_of_a_policy_is_documented(tmp_path: Path) -> None:
    """Each section and key is there with an example, and all of them together are a policy that is read."""
    sections = generator().keys()["policy"]
    assert set(sections) == {"policy", *SECTIONS}
    for name, kind in (POLICY | {"unseen": model.Unseen}).items():
        own = {one.name for one in fields(kind)} - (SECTIONS if name == "policy" else set())
        assert set(sections[name]) - {"about"} == own, name
    (tmp_path / "ours.toml").write_text(written(sections, first="policy"))
    policy = library.get(tmp_path / "ours.toml")
    assert policy.find("OUR101") is not None
    assert len(policy.exception) == 1


@pytest.mark.parametrize("name", GUIDE)
def test_pages_in_the_order_of_the_work(name: str) -> None:
    """Each page of the guide is in the index in the order of the work, and leads on to the next."""
    index = (ROOT / "docs" / "README.md").read_text()
    places = [index.index(f"({one}.md)") for one in GUIDE]
    assert places == sorted(places)
    text = (ROOT / "docs" / f"{name}.md").read_text()
    after = GUIDE[GUIDE.index(name) + 1 :]
    assert not after or f"({after[0]}.md)" in text


@pytest.mark.parametrize("page", [*sorted(path.name for path in (ROOT / "docs").glob("*.md")), "../README.md"])
def test_links_and_commands_of_pages(page: str) -> None:
    """What a page links to is there, and each `audit` command in it is one, with options that it has."""
    path = ROOT / "docs" / page
    text = path.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / target).exists(), target
    known = (ROOT / "docs" / "commands.md").read_text()
    for line in re.findall(r"^\$ (?:sudo )?(audit .*)$", text, re.MULTILINE):
        call = re.split(r"\s#| \| | > | && ", line)[0]
        words = call.split()
        assert f"## audit {words[1]}\n" in known or "." in words[1] or "/" in words[1], line
        for option in re.findall(r"(?<= )--[a-z][a-z-]*", call):
            assert re.search(rf"^  (-\w, )?{option}\b|, {option}\b", known, re.MULTILINE), f"{line}: {option}"


def test_exit_codes_are_documented() -> None:
    """Every exit code is in the guide, with an example that gives it."""
    text = (ROOT / "docs" / "audit.md").read_text()
    assert all(re.search(rf"^\| {code} \|", text, re.MULTILINE) for code in (0, 1, 2, 130))
