"""What others wrote comes in within limits, or is refused in a sentence; a row that cannot be read does not end an audit."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditor
from auditor.border import gate, rows
from auditor.border.gate import RefusedError
from auditor.paths import aws_files, cloudtrail, route_files, sensors, topology, witnesses
from auditor.policy import library
from tests import commands
from tests.conftest import HANG, SAMPLES
from tests.fuzz import seeds
from tests.lab import world as w

DEEP = 3000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * DEEP + b"]" * DEEP, "nested deeper than 64 levels"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64 levels"),
        (b"\xff\xfe\xfd", "not UTF-16-LE text"),
        (b'"\xff"', "not UTF-8 text (byte 1)"),
        (b"", "not JSON"),
        (b"\0", "not JSON"),
        (b"[1,]", "not JSON"),
    ],
)
def test_json_that_is_refused(data: bytes, words: str) -> None:
    """What is too deep, not text or no JSON is refused with the reason, and raises nothing else."""
    with pytest.raises(RefusedError) as caught:
        gate.from_json(data)
    assert words in str(caught.value)


def test_json_values() -> None:
    """Numbers beyond 64 bits stay texts, halves of characters are written out, every encoding with a mark is read."""
    assert gate.from_json(b"[1e999, NaN, 18446744073709551616, 9223372036854775807, 1.5]") == [
        "1e999", "NaN", "18446744073709551616", 9223372036854775807, 1.5
    ]  # fmt: skip
    assert gate.from_json(b'"\\ud800x \\ud83d\\ude42"') == "\\ud800x 🙂"
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert gate.from_json('{"a": "é"}'.encode(encoding)) == {"a": "é"}
    assert gate.from_json(b'{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(RefusedError, match="'a' is there twice"):
        gate.from_json(b'{"a": 1, "a": 2}', unique=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * DEEP + "]" * DEEP, "nested deeper"),
        (".".join("a" * DEEP) + " = 1", "nested deeper"),
        (" . ".join(['"a"'] * DEEP) + " = 1", "nested deeper"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("a = 9223372036854775808", "64 bits are the most"),
        ("a = 0000-01-01", "not valid TOML"),
        ("a = 1\na = 2", "not valid TOML"),
    ],
)
def test_toml_that_is_refused(text: str, words: str) -> None:
    """TOML is within the same limits."""
    with pytest.raises(RefusedError) as caught:
        gate.from_toml(text)
    assert words in str(caught.value)


def test_parquet_that_is_refused(tmp_path: Path) -> None:
    """A file that is no Parquet, cut or changed anywhere, gives a table or is refused."""
    pq.write_table(seeds.flow_log_table(), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for at in range(0, len(data), 7):
        for damaged in (data[:at], data[:at] + b"\xff\xff" + data[at + 2 :]):
            (tmp_path / "b.parquet").write_bytes(damaged)
            with contextlib.suppress(RefusedError), gate.Parquet(tmp_path / "b.parquet") as file:
                file.read()


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:01+01:00", 10**9),
        (1.5, 1_500_000_000),
        ("2.5", 2_500_000_000),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("99999-01-01T00:00:00Z", None),
        (1e999, None),
        (float("nan"), None),
        ("1e999", None),
        (10**30, None),
        (None, None),
        ([], None),
    ],
)
def test_times(value: Any, time: int | None) -> None:
    """A time is one that 64 bits of nanoseconds hold, with the slack of a clock; anything else is refused."""
    if time is not None:
        assert rows.nanoseconds(value) == time
        return
    with pytest.raises(RefusedError, match=r"is (no time|a time that no capture can be of)"):
        rows.nanoseconds(value)


# --- one bad row

BAD: list[Any] = [None, 5, "x", [], {"a": 1}]
EVENT = seeds.TRAIL["Records"][0]
READERS: dict[str, tuple[str, Callable[[Path], Any], Callable[[], bytes], int, int]] = {
    # name -> file, reader, contents, rows that are read, rows that are not
    "CloudTrail": (
        "a.json", cloudtrail.read, lambda: json.dumps({"Records": [EVENT, *BAD[:3], EVENT | {"eventTime": "1e999"}]}).encode(), 1, 4
    ),
    "CloudTrail lines": (
        "a.json", cloudtrail.read, lambda: b"\n".join([json.dumps(EVENT).encode()] * 2 + [b"{", b"\xff"]), 2, 2
    ),
    "EVE": (
        "a.json", sensors.read,
        lambda: b"\n".join([json.dumps(seeds.EVE).encode(), json.dumps(seeds.EVE | {"src_port": 1e9}).encode(), b"nonsense"]), 1, 2,
    ),
    "Zeek": ("a.log", sensors.read, (seeds.ZEEK_TEXT + seeds.ZEEK_TEXT.splitlines()[-1].replace("443", "-5")).encode, 1, 1),
    "Zeek in UTF-16": ("a.log", sensors.read, lambda: seeds.ZEEK_TEXT.encode("utf-16"), 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_a_row_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """It is counted, and the others are read."""
    file, read, contents, good, bad = READERS[name]
    (tmp_path / file).write_bytes(contents())
    taken = read(tmp_path / file)
    assert (len(taken), taken.skipped) == (good, bad)
    assert (taken.why is not None) == bool(bad)


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        (f"{seeds.VPC}\n{seeds.ROW}\n{seeds.ROW.replace('443', 'x')}\n", 1),
        (f"{seeds.VPC}\n{seeds.ROW}\n{seeds.ROW.replace('443', '99999999999999999999')}\n", 1),
        (f"{seeds.VPC}\n{seeds.ROW}\n{seeds.ROW.replace(w.ENI, '1.2.3')}\n{seeds.ROW} more\n", 2),
        (f"{seeds.VPC}\n{seeds.ROW}\n{seeds.ROW.replace('1764000000', '99999999999')}\n", 1),
        (f"{seeds.VPC}\n{seeds.ROW}\n{seeds.ROW.replace('ACCEPT', chr(255))}\n", 0),
        (json.dumps({"events": [{"message": seeds.ROW}, {"message": 5}, 7, None]}), 3),
        (json.dumps({"results": [[{"field": "@message", "value": seeds.ROW}], [5], {}]}), 2),
        (f"@timestamp,@message\n1,{seeds.ROW}\n2\n", 1),
    ],
)
def test_rows_of_flow_logs(tmp_path: Path, text: str, unread: int) -> None:
    """Each form of a flow log: rows without its fields, or with values that cannot be, are counted, said and left out."""
    (tmp_path / "fl.log").write_bytes(text.encode("latin-1"))
    (tmp_path / "a.pcap").write_bytes(seeds.capture())
    result = auditor.audit(tmp_path / "a.pcap", witnesses=[tmp_path / "fl.log"])
    (row,) = result.witnesses.to_dict("records")
    assert row["skipped"] == unread
    assert row["rows"] - row["skipped"] >= 1
    said = [note for note in result.manifest["notes"] if "fl.log" in note]
    assert said == (
        [f"{tmp_path}/fl.log: {unread} of {row['rows']} rows cannot be read and are left out"] if unread else []
    )


@pytest.mark.parametrize("kind", [pa.string(), pa.float64(), pa.uint32(), pa.large_string(), pa.decimal128(38, 2)])
def test_types_of_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    """Numbers of a Parquet flow log are read whatever type their writer chose; a column that holds none is named."""
    table = seeds.flow_log_table()
    at = table.column_names.index("srcport")
    pq.write_table(table.set_column(at, "srcport", table.column(at).cast(kind)), tmp_path / "fl.parquet")
    read = witnesses.read([tmp_path / "fl.parquet"])
    assert read.flow_log is not None
    assert read.flow_log.log.number["srcport"].tolist() == [40_000] * 3
    pq.write_table(table.set_column(at, "srcport", pa.array([[1]] * 3)), tmp_path / "fl.parquet")
    with pytest.raises(auditor.InputError, match="its column srcport is of type list"):
        witnesses.read([tmp_path / "fl.parquet"])


def test_rows_of_an_account(tmp_path: Path) -> None:
    """A row that is not as AWS prints it is left out with a sentence; where nothing is left the file is refused."""
    good = seeds.ACCOUNT["virtualInterfaces"][0]
    listed = [good, good | {"virtualInterfaceId": "b", "vlan": 5000}, good | {"virtualInterfaceId": "c", "bgpPeers": 5}]
    seeds.write(tmp_path / "vifs.json", {"virtualInterfaces": listed, "VpnConnections": [{"VpnConnectionId": 5}]})
    notes: list[str] = []
    assert [link.name for link in aws_files.read(tmp_path, notes).links()] == ["dxvif-1"]
    assert any("2 rows of virtualInterfaces cannot be read" in note for note in notes)
    assert any("1 row of VpnConnections cannot be read and is left out" in note and "row 1" in note for note in notes)
    seeds.write(tmp_path / "vifs.json", {"virtualInterfaces": listed[1:]})
    with pytest.raises(auditor.TopologyError, match=r"row 1: vlan: 5000 is no VLAN"):
        aws_files.read(tmp_path)


def test_rows_of_routes(tmp_path: Path) -> None:
    """A route that cannot be read is left out with a sentence."""
    seeds.write(tmp_path / "r.json", [*seeds.IP_ROUTE, {"dst": "10.0.0.0/99"}, 5, {"dst": "10.0.0.0/8", "metric": "x"}])
    notes: list[str] = []
    assert len(route_files.read(tmp_path / "r.json", None, notes)) == 3
    assert len(notes) == 1
    assert "3 routes cannot be read" in notes[0]


# --- what is no file

OPTIONS = ("--topology", "--policy", "--aws", "--routes", "--witness", "--keylog", "--ip-ranges")


@pytest.fixture(scope="module")
def special(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("special")
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "folder").mkdir()
    (folder / "empty").write_bytes(b"")
    (folder / "zeros").write_bytes(bytes(4096))
    (folder / "bytes").write_bytes(bytes(range(256)) * 16)
    names = ("pipe", "dangling", "loop", "folder", "zeros", "bytes", "x" * 300, "pipe/under")
    return [Path("/dev/zero"), Path("/dev/stdin"), *(folder / name for name in names)]


@pytest.mark.parametrize("option", OPTIONS)
def test_what_is_no_file(special: list[Path], option: str) -> None:
    """Devices, pipes, links to nothing, folders and bytes are refused in a sentence by each option, and nothing is waited for."""
    for path in special:
        done = commands.run("pcap", SAMPLES / "tls1.pcapng", option, path)
        assert done.returncode == 2, (path, done.stdout, done.stderr)
        assert done.stderr.count("\n") == 1, (path, done.stderr)
        assert "internal error" not in done.stderr, (path, done.stderr)
        assert "Traceback" not in done.stderr, (path, done.stderr)


def test_a_file_that_a_shell_puts_in_place(tmp_path: Path) -> None:
    """A topology may come from a program, as the shell's ``<(…)`` gives it."""
    command = f"{sys.executable} -m auditor topology check <(cat {SAMPLES / 'site.toml'})"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_no_file_can_have() -> None:
    """A name with a zero byte, or one that is too long, is refused as our own error."""
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(auditor.AuditError):
            topology.Topology.read(name)
        with pytest.raises(auditor.AuditError):
            library.get(name)
        with pytest.raises(auditor.AuditError):
            witnesses.read([name])
        with pytest.raises(auditor.AuditError):
            auditor.audit(SAMPLES / "tls1.pcapng", keylog=name)
        with pytest.raises(auditor.AuditError):
            auditor.Audit.load(name)
        with pytest.raises(auditor.AuditError):
            auditor.audit(name)


# --- parameters of rules


@pytest.mark.parametrize(
    ("check", "parameters", "words"),
    [
        ("tls-version", 'minimum = "TLS 9"', "is no version of TLS"),
        ("tls-version", "minimum = 1", "is no version of TLS"),
        ("cipher-suites", "allow = 5", "is no table of properties"),
        ("cipher-suites", "deny = {nothing = ['x']}", "suites have no property nothing"),
        ("cipher-suites", "minimum_bits = nan", "is no number"),
        ("signature-schemes", "deny = ['(a+)+$']", "has the pattern"),
        ("signature-clock", "seconds = 'x'", "is no number"),
        ("private-path", "paths = ['moon']", "a path that is none of"),
        ("ended-api", "services = ['pinpoint']", "needs the parameter since"),
        ("ended-api", "services = ['pinpoint']\nsince = 'soon'", "is no day"),
        ("certificate-strength", "match = 'yes'", "is neither true nor false"),
        ("post-quantum", "kinds = [[]]", "is no list of texts"),
        ("offers-signatures", "allow = ['(']", "has the pattern"),
        ("certificate-strength", "signatures = ['(']", "has the pattern"),
        ("cipher-suites", "offered = true", "asks for nothing: give allow, deny or minimum_bits"),
        ("signature-schemes", "", "asks for nothing: give allow or deny"),
        ("groups", "", "asks for nothing"),
        ("groups", "allow = []", "is empty"),
        ("cipher-suites", "allow = {cipher = []}", "is empty"),
        ("cipher-suites", "deny = {cipher = ['AES_128']}", "no suite has the cipher AES_128; there are 28147, 3DES"),
        ("cipher-suites", "deny = {name = ['ECDHE-RSA-AES128-SHA']}", "those of IANA, as TLS_AES_128_GCM_SHA256"),
        ("groups", "deny = ['P-256']", "no group is named P-256"),
    ],
)
def test_parameters_of_rules(tmp_path: Path, check: str, parameters: str, words: str) -> None:
    """A policy with a parameter that its check cannot use is refused when it is read."""
    (tmp_path / "own.toml").write_text(
        'id = "own"\ntitle = "t"\nedition = "1"\nsource = "s"\nretrieved = 2026-01-01\n'
        f'[[rule]]\ncode = "OWN101"\ntitle = "t"\ncheck = "{check}"\nseverity = "low"\nwhat = "w"\nwhy = "y"\nfix = "f"\n'
        f'source = "s"\n[rule.parameters]\n{parameters}\n'
    )
    with pytest.raises(auditor.PolicyError) as caught:
        library.get(tmp_path / "own.toml")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("check", "parameters"),
    [
        ("cipher-suites", "deny = {anonymous = [true], export = ['yes'], bits = [40]}"),
        ("cipher-suites", "minimum_bits = 128"),
        ("groups", "deny = ['SECP192R1', 'dh1024', 'modp2048', '0x1234']"),
        ("certificate-strength", "signatures = ['sha384WithRSAEncryption', 'rsassaPss \\\\(sha384\\\\)']"),
    ],
)
def test_parameters_that_are_right(tmp_path: Path, check: str, parameters: str) -> None:
    """Names in any case, numbers, true for yes, and groups without a name are taken."""
    path = tmp_path / "own.toml"
    path.write_text(
        'id = "own"\ntitle = "t"\nedition = "1"\nsource = "s"\nretrieved = 2026-01-01\n'
        f'[[rule]]\ncode = "OWN101"\ntitle = "t"\ncheck = "{check}"\nseverity = "low"\nwhat = "w"\nwhy = "y"\nfix = "f"\n'
        f'source = "s"\n[rule.parameters]\n{parameters.replace(chr(39), chr(34))}\n'
    )
    assert len(library.get(path).rule) == 1
