"""Change between audits, a history of them, and SQL over both."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.policy.findings import client_group
from auditor.report import history
from auditor.report.change import unchanged
from tests import commands
from tests.conftest import SAMPLES


def run(*arguments: Any) -> "subprocess.CompletedProcess[str]":
    return commands.run(*arguments)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two audits of the same client: once with TLS 1.0, later with TLS 1.3."""
    folder = tmp_path_factory.mktemp("runs")
    for name, capture in (("old", "tls1.pcapng"), ("new", "tls1.3.pcapng")):
        auditor.audit(SAMPLES / capture, topology=SAMPLES / "site.toml", out=folder / name)
    return folder / "old", folder / "new"


def test_diff_tells_what_changed(folders: tuple[Path, Path]) -> None:
    """Versions and suites that changed are reported once for a client group and service; findings came and went."""
    changes = auditor.Audit.load(folders[0]).diff(auditor.Audit.load(folders[1]))
    words = [change.words for change in changes]
    assert "10.20.1.0/24 → pinpoint us-east-1: TLS version: TLS 1.0 → TLS 1.3" in words
    assert any(change.kind == "went" and change.about == "finding TLS101" for change in changes)
    assert str(next(change.before for change in changes if change.kind == "went")).startswith("high: ")
    assert not any(change.about == "path" for change in changes)
    back = auditor.Audit.load(folders[1]).diff(auditor.Audit.load(folders[0]))
    assert any(change.kind == "came" and change.about == "finding TLS101" for change in back)
    assert auditor.Audit.load(folders[0]).diff(auditor.Audit.load(folders[0])) == []


def test_diff_command(folders: tuple[Path, Path]) -> None:
    """Text and JSON say the same; --fail-on new is 1 only where a finding is new."""
    better, worse = run("diff", *folders, "--fail-on", "new"), run("diff", *folders[::-1], "--fail-on", "new")
    assert (better.returncode, worse.returncode) == (0, 1)
    assert "- " in better.stdout
    assert "+ 10.20.1.0/24 → pinpoint us-east-1: finding TLS101 came" in worse.stdout
    assert len(json.loads(run("diff", *folders, "--format", "json").stdout)) == len(better.stdout.splitlines())
    assert run("diff", folders[0], folders[0], "--fail-on", "any").returncode == 0
    missing = run("diff", folders[0], folders[0].parent / "none")
    assert (missing.returncode, "holds no audit results" in missing.stderr) == (2, True)


def test_diff_says_first_what_could_be_compared(folders: tuple[Path, Path]) -> None:
    """Captures, policies, topology and keys of both come before any change, and what differs is marked."""
    lines = run("diff", *folders).stdout.splitlines()
    heads = [line.split(":")[0] for line in lines[:8]]
    assert heads == [
        *("≠ answer", "≠ captures", "= policies", "= topology", "= AWS account", "= routes", "= witnesses", "= keys"),
    ]
    assert "tls1.pcapng" in lines[1]
    ends = re.findall(r"(\S+Z)(?: to (\S+Z))?", lines[1])
    assert len(ends) == 2
    assert all(begun != ended for begun, ended in ends)  # what is the same is said once
    assert "→" in lines[1]
    assert "site office" in lines[3]
    assert run("diff", folders[0], folders[0]).stdout.endswith("= keys: none\nNothing changed.\n")


def test_what_is_no_longer_judged_did_not_go(tmp_path: Path) -> None:
    """A finding whose rule, topology or traffic is gone is no longer judged, with the reason, and not repaired."""
    site = SAMPLES / "site.toml"
    old = auditor.audit(SAMPLES / "office.pcapng", topology=site)

    def kinds(new: auditor.Audit) -> dict[tuple[str, str], tuple[str, str | None]]:
        found = [one for one in old.diff(new) if one.about.startswith("finding ")]
        return {(one.about.split()[1], one.service): (one.kind, one.after) for one in found}

    other = kinds(auditor.audit(SAMPLES / "office.pcapng", topology=site, policy="pq-ready"))
    assert other["TLS101", "pinpoint us-east-1"] == ("unjudged", "no policy of that audit has the rule")
    without = kinds(auditor.audit(SAMPLES / "office.pcapng"))
    kind, why = without["PTH101", "pinpoint us-east-1"]
    assert kind == "unjudged"
    assert str(why).startswith("not observable: ")
    kind, why = without["TLS104", "pinpoint us-east-1"]
    assert (kind, why) == ("unjudged", "nothing shows that it is between resources inside AWS")
    assert not any(kind == "went" for (rule, _), (kind, _) in without.items() if rule.startswith("PTH"))
    fewer = kinds(auditor.audit(SAMPLES / "tls1.3.pcapng", topology=site))
    assert fewer["TLS102", "ses us-east-1"] == ("unjudged", "no such traffic was seen")


def test_what_was_not_judged_before_is_new_for_a_reason(tmp_path: Path) -> None:
    """A finding that came with its rule says that it was not judged before."""
    site = SAMPLES / "site.toml"
    new = auditor.audit(SAMPLES / "office.pcapng", topology=site)
    old = auditor.audit(SAMPLES / "office.pcapng", topology=site, policy="pq-ready")
    came = [one.words for one in old.diff(new) if one.about == "finding TLS101"]
    assert came
    assert all("(not judged before: no policy of that audit has the rule)" in words for words in came)


def in_lines(page: str) -> str:
    """A page without the marks that say where its lines may end."""
    return re.sub("</?(?:span|wbr)[^>]*>", "", page)


def test_diff_page(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The page has each change once, findings first, no script, and nothing that is fetched."""
    done = run("diff", *folders, "--format", "html", "-o", tmp_path / "change.html")
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "change.html").read_text()
    changes = auditor.Audit.load(folders[0]).diff(auditor.Audit.load(folders[1]))
    still = unchanged(auditor.Audit.load(folders[0]), auditor.Audit.load(folders[1]))
    assert text.count('<tr class="change">') == len(changes) + len(still)
    words = in_lines(text)
    assert 'data-label="before">TLS 1.0</td><td data-label="after">TLS 1.3' in words
    counts = Counter(change.kind for change in changes if change.about.startswith("finding"))
    assert f"Findings: {len(still)} still there, {counts['went']} repaired" in text
    assert set(counts) == {"went"}
    assert words.index("TLS101") < words.index("TLS version")
    assert not re.findall(r"<script|https?:|//", text)
    assert ".basis td, .basis th, .basis th:first-child { width: auto; }" in text, "on a telephone they have its width"
    same = run("diff", folders[0], folders[0], "--format", "html").stdout
    assert "Nothing changed." in same


def test_diff_of_hostile_names(hostile: Any, folders: tuple[Path, Path]) -> None:
    """What came from the network is text in the page, and harmless in the others."""
    from auditor.report import compared
    from auditor.report.page.change import html

    old = auditor.Audit.load(folders[0])
    changes = old.diff(hostile)
    page = html(old, hostile, changes)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in in_lines(page)
    assert not re.search(r"<script|<img|javascript:[^1]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", compared.text(old, hostile, changes))


def test_client_groups() -> None:
    """IPv4 clients are counted by /24, IPv6 clients by /64."""
    assert client_group("10.20.1.77") == "10.20.1.0/24"
    assert client_group("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"


def test_history_shows_drift(tmp_path: Path) -> None:
    """Each audit is in the history once; the change of version is shown with its time, and who spoke TLS 1.0."""
    path = tmp_path / "audits"
    for capture in ("tls1.pcapng", "tls1.3.pcapng", "tls1.pcapng"):
        done = run("pcap", SAMPLES / capture, "--topology", SAMPLES / "site.toml", "--history", path, "-q")
        assert (done.returncode, done.stderr) == (0, "")
    names, rows = history.sql(path, "select count(*) as runs, sum(flows) from runs")
    assert (names[0], rows[0][0]) == ("runs", 2)
    shown = run("history", path).stdout
    assert "first seen" in shown
    assert "Old versions (1)" in shown
    assert "TLS 1.0" in shown
    chosen = run("history", path, "--where", "tls_version >= 'TLS 1.2'").stdout
    assert "Old versions (0)" in chosen
    assert "TLS 1.3" in chosen
    assert "There are run, started, client," in run("history", path, "--where", "clien = ''").stderr
    assert run("sql", path, "select distinct tls_version from traffic where tls_version < 'TLS 1.2'").stdout == (
        "tls_version\nTLS 1.0\n"
    )
    assert [row[0] for row in history.sql(path, "show tables")[1]] == ["runs", "traffic", "found"]
    assert ("tls_version", "text") in history.sql(path, "describe traffic")[1]
    assert run("history", tmp_path / "none").returncode == 2
    assert len(list(path.iterdir())) == 2
    (tmp_path / "bad.duckdb").write_text("no database")
    assert run("history", tmp_path / "bad.duckdb").stderr.count("\n") == 1


def test_sql_over_an_audit(office: Any) -> None:
    """Tables have their names; a query that is wrong, or that reaches out, is a sentence."""
    names, rows = history.sql(
        office.folder, "select tls_version, count(*) as n from handshakes group by 1 order by n desc"
    )
    assert names == ["tls_version", "n"]
    assert sum(row[1] for row in rows) == len(office.handshakes)
    joined = history.sql(
        office.folder,
        "select f.rule from findings f join flows on flows.service = f.service and flows.region = f.region",
    )[1]
    assert joined
    for query, words in (
        ("selec 1", "syntax error"),
        ("select * from nothing", "does not exist"),
        ("select * from read_csv('/etc/passwd')", "disabled"),
        ("copy flows to '/tmp/never'", "disabled"),
        ("set enable_external_access = true", "lock"),
    ):
        with pytest.raises(auditor.AuditError, match=r"^SQL: ") as caught:
            history.sql(office.folder, query)
        assert words in str(caught.value)
    printed = run("sql", office.folder, "select severity, count(*) as n from findings group by 1", "--csv").stdout
    assert printed.splitlines()[0] == "severity,n"
