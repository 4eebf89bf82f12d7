"""Path cases that a lab of its own made, with the right answers: see the README.md beside them."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests import commands
from tests.conftest import ROOT
from tests.path_answers import CASES, NO_CLAIM, RULE


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of the path cases; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("AUDITOR_CASES", ROOT.parent / "shared" / "cases")) / "paths"
    if not (path / "README.md").exists():
        pytest.skip("no path cases; set AUDITOR_CASES")
    return path


def test_every_case_has_an_answer(cases: Path) -> None:
    """Each folder of the cases is in the table of answers, and each answer has its folder."""
    assert {path.name for path in cases.iterdir() if path.is_dir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, cases: Path, tmp_path: Path) -> None:
    """The command of the case gives a right answer for each direction, and says nothing that it must not."""
    case = CASES[name]
    shutil.copytree(cases / name, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy)
    command = (cases / name / "command.txt").read_text().split()
    assert command[0] == "audit"
    done = commands.run(*command[1:], cwd=tmp_path)
    if case.exit_status is not None:
        assert done.returncode == case.exit_status, done.stderr
    tables = {table: pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pandas() for table in TABLES}
    flows, evidence, verdicts = (tables[table] for table in TABLES)
    told = " ".join(evidence["detail"].astype(str)) + " ".join(flows["path_detail"].astype(str)) + done.stdout
    assert not [words for words in case.never if words in told]
    for port, answer in case.flows.items():
        row = flows[flows["client_port"] == port].iloc[0]
        mine = evidence[evidence["flow_id"] == row["flow_id"]].to_string()
        for side, right in (("path_out", answer.out), ("path_back", answer.back)):
            assert right is None or f"{row[side]} {row[f'{side}_confidence']}" in right, mine
        if answer.out is not None and answer.back is not None:
            assert f"{row['path']} {row['path_confidence']}" in answer.out | answer.back, mine
        if answer.out == NO_CLAIM:
            judged = verdicts[(verdicts["flow_id"] == row["flow_id"]) & (verdicts["rule"] == RULE)]
            assert "pass" not in set(judged["verdict"])
        assert answer.changed in (None, pd.notna(row["path_changed"]))
        assert answer.link in (None, row["path_link"])
        assert answer.against in (None, pd.notna(row["path_against"])), mine


TABLES = ("flows", "evidence", "verdicts")
