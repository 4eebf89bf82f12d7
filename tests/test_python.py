"""The Python API: tables with honest dtypes, results that can be saved and loaded, and what Jupyter shows."""

import gc
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest

import auditor
from auditor.capture import digest
from auditor.errors import AuditError, InputError
from auditor.options import Options, OptionValues, meaning
from auditor.tables import schema
from tests import wire
from tests.conftest import SAMPLES


def test_tables_have_their_columns_and_dtypes(office: Any) -> None:
    """Every table has the columns of the reference, nullable types and ordered categoricals."""
    for name, columns in schema.TABLES.items():
        frame = getattr(office, name)
        assert list(frame.columns) == [c.name for c in columns]
        for column in columns:
            dtype = frame[column.name].dtype
            if column.type == schema.CLOSED:
                assert isinstance(dtype, pd.CategoricalDtype)
                assert dtype.ordered == column.ordered
            elif column.type == schema.TIME:
                assert str(dtype) == "datetime64[ns, UTC]"
            else:
                expected = {schema.INT: "Int64", schema.BOOL: "boolean", schema.FLOAT: "Float64"}.get(
                    column.type, "string"
                )
                assert str(dtype).startswith(expected), column.name


def test_empty_tables_have_them_too(audit_bytes: Any) -> None:
    """A capture without packets gives tables without rows, not without columns."""
    result = audit_bytes(wire.pcap([]))
    for name, columns in schema.TABLES.items():
        assert len(getattr(result, name).columns) == len(columns)
    assert result.captures["warnings"][0] == "holds no packets"


def test_save_and_load(office: Any, tmp_path: Path) -> None:
    """What was saved is what is loaded."""
    office.save(tmp_path / "kept")
    loaded = auditor.Audit.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(loaded.flows, office.flows)
    assert loaded.manifest == office.manifest
    with pytest.raises(auditor.AuditError, match="holds no audit results"):
        auditor.Audit.load(tmp_path)


def test_shows_itself(office: Any, audit_bytes: Any) -> None:
    """Repr counts; HTML escapes what came from the network."""
    assert "29 flows" in repr(office)
    assert "NET101" in office._repr_html_()
    assert "Nothing was judged" in audit_bytes(wire.pcap([]))._repr_html_()


def test_temporary_results_go_away(samples: Path) -> None:
    """Without `out` the results live as long as the object."""
    result = auditor.audit(samples / "tls1.2.pcapng")
    folder = result.folder
    assert folder.exists()
    result.close()
    assert not folder.exists()


def test_a_failed_audit_leaves_nothing(tmp_path: Path) -> None:
    """Where nothing could be read, no half-written result stays behind."""
    wire.write(tmp_path, b"nonsense", "x.pcap")
    with pytest.raises(auditor.InputError):
        auditor.audit(tmp_path / "x.pcap", out=tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_options_are_declared_once() -> None:
    """`audit` and `audit_live` show every option of `Options` with its type, default and meaning, and take no other."""
    declared = get_type_hints(auditor.Options)
    assert get_type_hints(OptionValues) == declared
    functions: list[Any] = [auditor.audit, auditor.audit_live]
    for function in functions:
        shown = inspect.signature(function).parameters
        for option in fields(auditor.Options):
            assert shown[option.name].annotation == declared[option.name]
            assert shown[option.name].default == option.default
            assert f"{option.name}: {meaning(option.name)}" in function.__doc__
        with pytest.raises(TypeError, match="block_bytes"):
            function("nowhere", block_bytes=1)
    assert not {"hashing", "meanwhile"} & set(inspect.signature(auditor.audit).parameters)


def test_options_by_name_and_as_an_object(samples: Path) -> None:
    """Options can be given as an object, and by name in place of the object's."""
    options = auditor.Options(policy="rfc9325", topology=samples / "site.toml")
    result = auditor.audit(samples / "tls1.2.pcapng", options, policy="rfc10015")
    assert result.manifest["options"]["policy"] == "rfc10015"
    assert result.manifest["options"]["topology"] == str(samples / "site.toml")
    assert auditor.audit(samples / "tls1.2.pcapng", options=options).manifest["site"] == "office"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"as_of": "yesterday"}, "--as-of yesterday: not a day; give it as 2026-11-27"),
        ({"jobs": "two"}, "--jobs two: give a number"),
        ({"jobs": True}, "--jobs True: give a number"),
        ({"skew": "late"}, "--skew late: give the seconds"),
        ({"skew": float("nan")}, "--skew nan: give the seconds"),
    ],
)
def test_options_that_are_none(options: Any, words: str) -> None:
    """What an option cannot be is a sentence that says what it can."""
    with pytest.raises(InputError, match=f"^{words}"):
        Options(**options)


def test_options_as_people_have_them() -> None:
    """A day may be text, a date or a time; numbers may be numpy's."""
    for day in ("2026-11-27", date(2026, 11, 27), datetime(2026, 11, 27, 12, tzinfo=UTC)):
        assert Options(as_of=day).day == date(2026, 11, 27)
    many: Any = {"jobs": np.int64(2), "skew": np.float32(1.5)}
    assert Options(**many).skew == 1.5


def test_arguments_of_another_kind(office: Any) -> None:
    """What names no capture, and what is no audit, is a sentence; columns to count by may be a list."""
    something: Any = 5
    with pytest.raises(InputError, match=r"^5: names no capture"):
        auditor.audit(something)
    with pytest.raises(AuditError, match=r"^5: not an audit"):
        office.diff(something)
    assert list(office.who("old", by=["client", "version"]).columns[:2]) == ["client", "version"]


def test_policies_and_rules() -> None:
    """The shipped policies and their rules are tables with types of their own, and agree with each other."""
    policies, rules = auditor.policies(), auditor.rules()
    assert rules.groupby("policy").size().to_dict() == policies.set_index("id")["rules"].to_dict()
    assert str(policies["retrieved"].dtype) == "datetime64[ns]"
    assert policies.loc[policies["id"] == "aws-pinpoint", "title"].item()
    rule = auditor.rules("aws-pinpoint").set_index("code").loc["TLS101"]
    assert rule["severity"] == "high"
    assert "TLS 1.2" in str(rule["what"])
    assert "boto3: " in str(auditor.rules(["aws-pinpoint"]).set_index("code").loc["TLS102", "remediation"])
    assert (rules["severity"] > "low").any()
    assert not rules[["policy", "code", "title", "what", "why", "remediation", "source"]].isna().any(axis=None)
    with pytest.raises(auditor.PolicyError, match="no such policy"):
        auditor.rules("nothing")


def test_history(office: Any, tmp_path: Path) -> None:
    """A history that audits were added to is two tables: what changed, and who spoke old versions."""
    path = tmp_path / "history"
    with pytest.raises(auditor.AuditError, match="no such folder"):
        auditor.history(path)
    office.add_to_history(path)
    changes, old = auditor.history(path), auditor.history(path, "old_versions")
    assert set(changes["change"]) == {"first seen"}
    assert str(changes["started"].dtype) == str(old["last_seen"].dtype) == "datetime64[ns, UTC]"
    spoken = office.flows["tls_version"].isin(["SSL 3.0", "TLS 1.0", "TLS 1.1"])
    assert old["flows"].sum() == spoken.sum() > 0
    assert changes["flows"].sum() == len(office.flows)


def test_export_of_changes(office: Any, tmp_path: Path) -> None:
    """What changed can be written to a file or an open one, and is what `diff` says."""
    out = io.BytesIO()
    other = auditor.audit(SAMPLES / "requests.pcapng")
    changes = office.export_diff(other, "json", out)
    assert changes == office.diff(other) != []
    office.export_diff(other, "json", tmp_path / "changes.json")
    assert (tmp_path / "changes.json").read_bytes() == out.getvalue()
    with pytest.raises(auditor.AuditError, match="no such form"):
        office.export_diff(other, "xml", out)


def process() -> dict[str, Any]:
    """What is one for the whole process."""
    descriptors = Path("/proc/self/fd")
    return {
        "switch interval": sys.getswitchinterval(),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "modules": list(sys.path),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "warnings": list(warnings.filters),
        "threads": set(threading.enumerate()),
        "descriptors": {entry.name for entry in descriptors.iterdir()} if descriptors.exists() else set(),
    }


def test_two_audits_at_once(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits in threads give what they give one after the other, and leave the process as it was."""
    monkeypatch.setattr(digest, "LARGE", 1000)  # each capture is hashed by a process, as large ones are
    for module, setting in ((sys, "setswitchinterval"), (gc, "set_threshold"), (gc, "disable"), (os, "chdir")):
        monkeypatch.setattr(module, setting, None)  # not even for a moment
    secret = samples / "office.pcapng"  # any file: without one, what stands for access keys is random
    plain = auditor.Options(join_key=secret)
    full = auditor.Options(topology=samples / "site.toml", http=True, join_key=secret)
    office, requests = samples / "office.pcapng", samples / "requests.pcapng"
    chosen = [(office, full), (requests, plain), (office, plain)]
    alone = [auditor.audit(path, options) for path, options in chosen]
    before = process()
    start = threading.Barrier(len(chosen))

    def run(one: tuple[Path, auditor.Options]) -> auditor.Audit:
        start.wait()
        return auditor.audit(*one)

    with ThreadPoolExecutor(len(chosen)) as threads:
        together = list(threads.map(run, chosen))
    assert process() == before
    for one, other in zip(alone, together, strict=True):
        assert one.manifest == other.manifest
        for table in schema.TABLES:
            assert one.arrow(table).equals(other.arrow(table)), table


PLAIN = """
import sys, auditor
for path in sys.argv[2:]:
    auditor.audit(path, out=f"{sys.argv[1]}/{path.rsplit('/', 1)[-1]}", join_key=path)
"""


def plain_and_compiled(paths: list[Path], tmp_path: Path) -> None:
    for jit in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": jit}
        command = [sys.executable, "-c", PLAIN, str(tmp_path / jit), *map(str, paths)]
        subprocess.run(command, env=environment, check=True)
    for path in paths:
        one, two = (auditor.Audit.load(tmp_path / jit / path.name) for jit in ("0", "1"))
        for table in schema.TABLES:
            assert one.arrow(table).equals(two.arrow(table)), (path, table)


def test_kernels_in_plain_python(tmp_path: Path) -> None:
    """Without the compiler the kernels give the same tables for every sample."""
    plain_and_compiled(sorted(SAMPLES.glob("*.pcapng")), tmp_path)


@pytest.mark.slow
def test_kernels_in_plain_python_on_the_corpus(corpus: Path, tmp_path: Path) -> None:
    """The same for small captures of the corpus, one of each project and kind."""
    chosen = [
        path
        for source in (
            "zeek/testing/btest/Traces/tls",
            "foxio-ja4/pcap",
            "wireshark2013",
            "tcpdump/tests",
            "pcapng-gen",
        )
        for path in sorted((corpus / source).rglob("*"))
        if path.is_file() and path.suffix in (".pcap", ".pcapng") and path.stat().st_size < 12_000
    ]
    unique = list({path.name: path for path in chosen}.values())[::8]
    assert len(unique) > 40
    plain_and_compiled(unique, tmp_path)


def test_manifest_is_plain_json(office: Any) -> None:
    """audit.json can be read by anything, and says which rules were applied how often."""
    manifest = json.loads(json.dumps(office.manifest))
    assert manifest["rules"]["TLS101"]["fail"] == 4
    assert sum(row["flows"] for row in manifest["summary"]) == 29


@pytest.mark.parametrize("topology", [None, SAMPLES / "site.toml"])
def test_what_is_done_with_is_freed(topology: Path | None) -> None:
    """No array of a batch hangs in a circle: the collector of circles seldom runs, and memory would grow meanwhile."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        auditor.audit(SAMPLES / "office.pcapng", topology=topology).close()
        gc.collect()
        held = {type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("auditor")}
        arrays = [one for one in gc.garbage if isinstance(one, np.ndarray)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not held
    assert not arrays
