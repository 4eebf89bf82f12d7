"""Every scene of the lab: the verdict is right, and without any one of its inputs never wrongly confirmed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import auditor
from tests import wire
from tests.lab import world as w
from tests.lab.practice import PRACTICE
from tests.lab.scenes import AMAZON, SCENES
from tests.lab.world import Scene, Truth, Wire

EVERY = [*SCENES, *PRACTICE]
LEFT_OUT = [(scene, missing) for scene in EVERY for missing in scene.inputs()]


def row_of(flows: pd.DataFrame, truth: Truth) -> dict[str, Any]:
    """The flow that a truth is about."""
    mine = flows[flows["client_ip"] == truth.client]
    if truth.port is not None:
        mine = mine[mine["client_port"] == truth.port]
    mine = mine[mine["server_port"] != 179]
    assert len(mine), flows[["client_ip", "client_port", "server_ip", "path"]]
    return wire.only(mine.head(1))


@pytest.mark.parametrize("scene", EVERY, ids=[scene.name for scene in EVERY])
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
    assert len({scene.name for scene in EVERY}) == len(EVERY)


TWO_SITES = "".join(
    f"""
[[site]]
name = "{name}"
on_premises = ["10.{number}.0.0/16"]
[[virtual_interface]]
name = "dxvif-{name}"
site = "{name}"
vlan = 101
peer_address = "{AMAZON}"
[[capture_point]]
name = "tap-{name}"
file = "{name}*"
site = "{name}"
"""
    for name, number in (("bern", 20), ("oslo", 30))
)


def test_sites_with_the_same_transfer_network(tmp_path: Path) -> None:
    """What ARP shows at one site holds for that site's link alone; the same address at another site is no contest."""
    ways = {"bern": ("10.20.1.10", w.AWS1, 40_000), "oslo": ("10.30.1.10", w.AWS2, 40_001)}
    for k, (name, (client, mac, port)) in enumerate(ways.items()):
        frames = [w.arp(AMAZON, mac, 101, k), *w.talk(client, w.ENI, Wire(101, mac), port=port, at=k + 0.5)]
        (tmp_path / f"{name}.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    (tmp_path / "site.toml").write_text(TWO_SITES)
    captures = sorted(tmp_path.glob("*.pcap"))
    result = auditor.audit(captures, topology=tmp_path / "site.toml")
    assert set(result.flows["path_confidence"]) == {"confirmed"}
    assert result.flows.set_index("client_port")["path_link"].to_dict() == {40_000: "dxvif-bern", 40_001: "dxvif-oslo"}
    strangers = w.talk("10.30.1.10", w.ENI, Wire(101, w.AWS1), port=40_001, at=2)
    (tmp_path / "oslo.pcap").write_bytes(wire.pcap(strangers, nanoseconds=True))
    flows = auditor.audit(captures, topology=tmp_path / "site.toml").flows.set_index("client_port")
    assert flows["path_confidence"].astype(str).to_dict() == {40_000: "confirmed", 40_001: "likely"}
