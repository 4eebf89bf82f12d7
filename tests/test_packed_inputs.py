"""Packed logs, tables and account files are read whole, however many times larger than any buffer they are."""

import bz2
import gzip
import importlib
import json
import lzma
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from auditor.capture.compression import unpacked
from auditor.errors import InputError
from auditor.paths import aws_files, cloudtrail, route_files, sensors
from auditor.paths.flow_logs import LogReader

ROWS = 40_000  # about 4 MB of each kind: 32 times what one step of unpacking yields


def _zstd(data: bytes) -> bytes:
    half = len(data) // 2  # two frames, as tools that append write
    pack = importlib.import_module("zstandard").ZstdCompressor().compress
    return bytes(pack(data[:half]) + pack(data[half:]))


def _lz4(data: bytes) -> bytes:
    return bytes(importlib.import_module("lz4.frame").compress(data))


def _gzip(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": _gzip,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
    ".lz4": _lz4,
}


def _flow_log() -> bytes:
    row = "2 123456789012 eni-1 10.0.%d.%d 10.1.0.1 %d 443 6 9 1000 1764000000 1764000060 ACCEPT OK"
    return "\n".join(row % (k >> 8 & 255, k & 255, 1024 + k % 60_000) for k in range(ROWS)).encode() + b"\n"


def _trail() -> bytes:
    event = {"eventTime": "2025-11-24T16:00:00Z", "eventSource": "x", "sourceIPAddress": "198.51.100.1"}
    tls = {"tlsDetails": {"clientProvidedHostHeader": "pinpoint.us-east-1.amazonaws.com"}}
    return json.dumps({"Records": [event | tls | {"eventID": str(k)} for k in range(ROWS // 2)]}).encode()


def _conn_log() -> bytes:
    head = "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n"
    rows = (f"1764000000.5\tC{k}\t10.0.0.1\t{1024 + k % 60_000}\t10.1.0.1\t443\ttcp\n" for k in range(ROWS))
    return (head + "".join(rows)).encode()


def _routes() -> bytes:
    rows = [{"dst": f"10.{k >> 8}.{k & 255}.0/24", "gateway": "192.0.2.1", "dev": "eth0"} for k in range(ROWS // 2)]
    return json.dumps(rows).encode()


def _log_rows(path: Path) -> int:
    reader = LogReader()
    reader.add(path)
    return len(reader.finish())


KINDS: dict[str, tuple[Callable[[], bytes], Callable[[Path], int]]] = {
    "flow.log": (_flow_log, _log_rows),
    "trail.json": (_trail, lambda path: len(cloudtrail.read(path))),
    "conn.log": (_conn_log, lambda path: len(sensors.read(path))),
    "routes.json": (_routes, lambda path: len(route_files.read(path))),
}


@cache
def plain(kind: str) -> tuple[bytes, int]:
    """A side input as it is before it is packed, and how many rows it gives."""
    make, count = KINDS[kind]
    data = make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / kind
        path.write_bytes(data)
        return data, count(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", PACKINGS)
def test_packed_is_as_unpacked(kind: str, suffix: str, tmp_path: Path) -> None:
    """Each kind of side input gives as many rows packed as it gives unpacked, in every packing."""
    data, rows = plain(kind)
    packed = tmp_path / f"{kind}{suffix}"
    packed.write_bytes(PACKINGS[suffix](data))
    assert len(data) > 1 << 20
    assert unpacked(packed) == data
    assert KINDS[kind][1](packed) == rows >= ROWS // 2


def test_packed_account_files(tmp_path: Path) -> None:
    """What the AWS command line printed is read from packed files too."""
    vpcs: Any = {"Vpcs": [{"VpcId": f"vpc-{k}", "CidrBlock": f"10.{k}.0.0/16", "Note": "x" * 4096} for k in range(200)]}
    (tmp_path / "vpcs.json.gz").write_bytes(gzip.compress(json.dumps(vpcs).encode()))
    assert len(aws_files.read(tmp_path).vpc) == 200


@pytest.mark.parametrize("suffix", PACKINGS)
def test_cut_short(suffix: str, tmp_path: Path) -> None:
    """A packed file that ends too early is an error that names it, never fewer rows in silence."""
    path = tmp_path / f"flow.log{suffix}"
    packed = PACKINGS[suffix](_flow_log())
    path.write_bytes(packed[: len(packed) - 40])
    with pytest.raises(InputError, match=r"flow\.log"):
        unpacked(path)
