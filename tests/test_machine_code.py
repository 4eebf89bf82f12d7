"""How the kernels' machine code is kept and called."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auditor.flows.text import write_addresses
from auditor.machine import objects
from auditor.machine.objects import Object, load, store
from auditor.reading import scan

HIGH, LOW = np.zeros(2, np.uint64), np.array([0xFFFF_0102_0304, 0xFFFF_0506_0708], np.uint64)


def test_stored_objects_load_again(tmp_path: Path) -> None:
    """What was kept is what is loaded."""
    objects = {"a": Object(b"\n\0code", "f", 2), "b": Object(b"", "g", 0)}
    store(objects, tmp_path / "kernels")
    assert load(tmp_path / "kernels") == objects
    assert [file.name for file in tmp_path.iterdir()] == ["kernels"]


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_damaged_cache_is_not_believed(tmp_path: Path, keep: int) -> None:
    """A file that is not whole is no machine code: the kernels are compiled anew."""
    store({"a": Object(b"machine code", "f", 1)}, tmp_path / "kernels")
    whole = (tmp_path / "kernels").read_bytes()
    (tmp_path / "kernels").write_bytes(whole[:keep])
    assert load(tmp_path / "kernels") == {}
    (tmp_path / "kernels").write_bytes(whole[:-1] + b"E")
    assert load(tmp_path / "kernels") == {}
    assert load(tmp_path / "none") == {}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """Where nothing can be kept, nothing is, and nothing fails."""
    store({"a": Object(b"", "f", 1)}, tmp_path / "missing" / "kernels")
    assert not (tmp_path / "missing").exists()


def test_kernels_check_what_they_are_given() -> None:
    """Arrays of another kind are a TypeError, a place outside of an array an IndexError; neither is a crash."""
    scan.prepare()
    data, offsets = np.zeros(30, np.uint8), np.zeros(3, np.int64)
    none, lengths = np.zeros(1, np.uint8), np.zeros(0, np.int64)
    assert write_addresses(HIGH, LOW, none, lengths, data, offsets) is None
    assert data[: offsets[2]].tobytes() == b"1.2.3.45.6.7.8"
    if isinstance(write_addresses, objects.Native):
        with pytest.raises(TypeError, match="write_addresses"):
            write_addresses(HIGH.astype(np.uint8), LOW, none, lengths, data, offsets)
    with pytest.raises(IndexError):
        write_addresses(HIGH, LOW, none, lengths, data[:5], np.zeros(3, np.int64))


def test_numba_is_imported_only_to_compile(tmp_path: Path) -> None:
    """Once the kernels are compiled, an audit needs no numba."""
    scan.prepare()
    capture = Path(__file__).parent.parent / "captures" / "office.pcapng"
    code = f"import auditor, sys; auditor.audit({str(capture)!r}, out={str(tmp_path)!r}); print('numba' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    ).stdout
    assert told.strip() == "False"
