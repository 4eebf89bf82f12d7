"""The Python API: tables with honest dtypes, results that can be saved and loaded, and what Jupyter shows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import auditor
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
    assert "No findings" in audit_bytes(wire.pcap([]))._repr_html_()


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


PLAIN = """
import sys, auditor
for path in sys.argv[2:]:
    auditor.audit(path, out=f"{sys.argv[1]}/{path.rsplit('/', 1)[-1]}")
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
    unique = list({path.name: path for path in chosen}.values())[::4]
    assert len(unique) > 40
    plain_and_compiled(unique, tmp_path)


def test_manifest_is_plain_json(office: Any) -> None:
    """audit.json can be read by anything, and says which rules were applied how often."""
    told = json.loads(json.dumps(office.manifest))
    assert told["rules"]["TLS101"]["fail"] == 4
    assert sum(row["flows"] for row in told["summary"]) == 29
