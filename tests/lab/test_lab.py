"""Every scene of the lab: the verdict is right, and without any one of its inputs never wrongly confirmed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import auditor
from tests import wire
from tests.lab.scenes import SCENES
from tests.lab.world import Scene, Truth

LEFT_OUT = [(scene, missing) for scene in SCENES for missing in scene.inputs()]


def row_of(flows: pd.DataFrame, truth: Truth) -> dict[str, Any]:
    """The flow that a truth is about."""
    mine = flows[flows["client_ip"] == truth.client]
    if truth.port is not None:
        mine = mine[mine["client_port"] == truth.port]
    mine = mine[mine["server_port"] != 179]
    assert len(mine), flows[["client_ip", "client_port", "server_ip", "path"]]
    return wire.only(mine.head(1))


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_verdict(scene: Scene, tmp_path: Path) -> None:
    """With all its inputs a scene's verdicts are right, and every one names its evidence."""
    capture, options = scene.write(tmp_path)
    result = auditor.audit(capture, **options)
    for truth in scene.truths:
        row = row_of(result.flows, truth)
        evidence = result.evidence[result.evidence["flow_id"] == row["flow_id"]]
        assert f"{row['path']} {row['path_confidence']}" == truth.said, evidence.to_string()
        if truth.link is not None:
            assert row["path_link"] == truth.link
        assert (row["path_asymmetric"] is True) == truth.asymmetric
        assert pd.notna(row["path_changed"]) is truth.changed
        assert truth.kinds <= set(evidence["kind"])
        if row["path_confidence"] != "none":
            assert len(evidence)
        verdicts = result.verdicts[result.verdicts["flow_id"] == row["flow_id"]].set_index("rule")["verdict"]
        for rule, verdict in truth.rules.items():
            assert verdicts[rule] == verdict, result.verdicts.to_string()


@pytest.mark.parametrize(("scene", "missing"), LEFT_OUT, ids=[f"{s.name} without {m[1]}" for s, m in LEFT_OUT])
def test_never_wrongly_confirmed(scene: Scene, missing: tuple[str, str], tmp_path: Path) -> None:
    """Whichever input is left out: nothing is confirmed that is not true."""
    capture, options = scene.write(tmp_path, without=missing)
    flows = auditor.audit(capture, **options).flows
    for truth in scene.truths:
        row = row_of(flows, truth)
        if row["path_confidence"] == "confirmed":
            assert row["path"] == truth.path


def test_a_change_names_its_time(tmp_path: Path) -> None:
    """The finding of a fail-over says when it was, and from what to what; within a flow also at which frame."""
    reasons = []
    for name in ("fail-over from Direct Connect to VPN", "fail-over within a flow"):
        folder = tmp_path / name
        folder.mkdir()
        capture, options = next(s for s in SCENES if s.name == name).write(folder)
        findings = auditor.audit(capture, **options).findings
        reasons.append(findings[findings["rule"] == "PTH103"]["reason"].iloc[0])
    first = "at 2025-11-24 16:00:30.000000 UTC: by direct-connect (dxvif-private) before, by vpn now"
    assert reasons[0] == first
    assert "frame 7, within the flow: by direct-connect before, by internet from then on" in reasons[1]


def test_the_lab_is_large() -> None:
    """At least forty scenes, and every kind of path among their truths."""
    assert len(SCENES) >= 40
    assert {truth.path for scene in SCENES for truth in scene.truths} == {"direct-connect", "vpn", "vpc", "internet"}
    assert len({scene.name for scene in SCENES}) == len(SCENES)
