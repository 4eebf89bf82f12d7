"""Every rule of every shipped policy on a capture with good and bad handshakes, built from bytes.

``tests/golden/rules.txt`` has the verdict of each rule on each scene, read through once by hand against the rules' parameters;
``python -m tests.test_rule_captures`` writes it anew.
"""

import tempfile
from datetime import date
from pathlib import Path

import pytest

import auditor
from auditor.policy import library
from tests import rule_scenes
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden" / "rules.txt"
LETTERS = {"pass": "P", "fail": "F", "warn": "W", "not_observable": "o", "not_applicable": "-"}
BEFORE = date(2026, 6, 30)  # … and rules that ended when others began, as of the day before
LATER = date(2033, 1, 1)  # rules that begin in some years are judged as of then
OTHERS = [
    name for name in library.shipped() if name != "aws-pinpoint"
]  # tests/test_policy.py, test_requests.py and lab have it


def runs() -> list[list[str]]:
    """The policies, as many in one audit as have no rule of the same code."""
    found: list[tuple[list[str], set[str]]] = []
    for name in OTHERS:
        codes = {rule.code for rule in library.get(name).rule}
        fits = next((run for run in found if not run[1] & codes), None)
        if fits is None:
            found.append(([name], codes))
        else:
            fits[0].append(name)
            fits[1].update(codes)
    return [names for names, _ in found]


def verdicts(capture: Path, policies: list[str], as_of: date | None) -> dict[tuple[str, str], str]:
    """A letter for each scene, by policy and rule; a dot where the rule says nothing of it."""
    result = auditor.audit(capture, policy=policies, as_of=as_of)
    scene = {
        row["flow_id"]: rule_scenes.PORTS[row["client_port"]] for row in result.rows("flows", "flow_id", "client_port")
    }
    told: dict[str, dict[str, str]] = {}
    for row in result.rows("verdicts", "flow_id", "rule", "verdict"):
        told.setdefault(row["rule"], {})[scene[row["flow_id"]]] = LETTERS[row["verdict"]]
    return {
        (name, rule.code): "".join(told.get(rule.code, {}).get(one, ".") for one in rule_scenes.SCENES)
        for name in policies
        for rule in library.get(name).rule
    }


def matrix(capture: Path) -> str:
    """What each rule says of each scene, a line a rule."""
    lines = [f"# {number:2} {name}" for number, name in enumerate(rule_scenes.SCENES)]
    found: dict[tuple[str, str, str], str] = {}
    for policies in runs():
        found |= {(*key, "now"): line for key, line in verdicts(capture, policies, None).items()}
    bsi = verdicts(capture, ["bsi-tr-02102-2"], LATER)
    found |= {(*key, str(LATER)): line for key, line in bsi.items()}
    before = verdicts(capture, ["rfc10015"], BEFORE)
    found |= {(*key, str(BEFORE)): line for key, line in before.items()}
    lines += [f"{line} {code} {name} {when}" for (name, code, when), line in sorted(found.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("scenes") / "scenes.pcap"
    path.write_bytes(rule_scenes.capture())
    return matrix(path).splitlines()


def test_every_rule_says_what_it_should(told: list[str]) -> None:
    """The verdict of each rule on each scene is the one that was read through."""
    assert told == GOLDEN.read_text().splitlines()


def test_every_rule_has_a_good_and_a_bad_capture(told: list[str]) -> None:
    """Each rule of each policy is met by a flow of the capture, and not met by another, now or when it begins."""
    good, bad, known = set(), set(), set()
    for line in told:
        if not line.startswith("#"):
            letters, code, name, _ = line.split()
            known.add((name, code))
            if "P" in letters:
                good.add((name, code))
            if set(letters) & {"F", "W"}:
                bad.add((name, code))
    assert known == {(name, rule.code) for name in OTHERS for rule in library.get(name).rule}
    known.remove(("capture-quality", "CAP102"))  # is about captures: tests/test_policies.py
    assert known - good == set()
    assert known - bad == set()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenes.pcap"
        path.write_bytes(rule_scenes.capture())
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(matrix(path))
