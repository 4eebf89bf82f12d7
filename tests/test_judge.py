"""``audit judge``: other policies, topologies and logs for results that are there, without reading a capture."""

import hashlib
import json
import shutil
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import auditor
from auditor.border.gate import RefusedError
from auditor.data import __version__
from auditor.errors import AuditError
from auditor.machine import memory, packed
from auditor.reading import kept
from auditor.report.custody import CUSTODY, KEPT, NEEDED
from tests import wire
from tests.conftest import SAMPLES
from tests.lab import scenes
from tests.lab import world as w
from tests.test_shown_networks import command

NAMES = ("office.pcapng", "requests.pcapng", "week.pcapng.gz", "tls1.3.pcapng")
CAPTURES = [SAMPLES / name for name in NAMES]
OTHERS: tuple[dict[str, Any], ...] = (
    {"policy": ["pci-dss-4.0.1", "bsi-tr-02102-2"]},
    {"topology": SAMPLES / "site.toml", "all_traffic": True},
    {"policy": "cnsa-2.0", "topology": SAMPLES / "site.toml"},
)


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes the hashes of access keys the same in all audits."""
    path = tmp_path_factory.mktemp("secret") / "join.key"
    path.write_bytes(b"0123456789abcdef" * 4)
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, secret: Path) -> Path:
    """The results of samples with handshakes, requests inside TLS and in clear, paths and an unreadable file."""
    folder = tmp_path_factory.mktemp("judge") / "results"
    auditor.audit(CAPTURES, join_key=secret, out=folder).close()
    return folder


def same(one: Path, other: Path, names: tuple[str, ...] = (*NEEDED, KEPT)) -> None:
    """Assert that two folders have the same results, byte for byte."""
    assert [name for name in names if (one / name).read_bytes() != (other / name).read_bytes()] == []


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_judged_anew_is_audited_anew(results: Path, tmp_path: Path, secret: Path, number: int) -> None:
    """Results that were judged anew are byte for byte those of auditing the captures with the same options."""
    auditor.audit(CAPTURES, join_key=secret, out=tmp_path / "audited", **OTHERS[number]).close()
    auditor.judge(results, out=tmp_path / "judged", **OTHERS[number]).close()
    same(tmp_path / "audited", tmp_path / "judged")


def test_captures_are_not_read(tmp_path: Path) -> None:
    """Results are judged anew where the captures are gone, and may be judged again from what comes of it."""
    shutil.copy(SAMPLES / "office.pcapng", tmp_path / "a.pcapng")
    auditor.audit(tmp_path / "a.pcapng", out=tmp_path / "first").close()
    auditor.audit(tmp_path / "a.pcapng", policy="pci-dss-4.0.1", out=tmp_path / "audited").close()
    (tmp_path / "a.pcapng").unlink()
    for name, before, policy in (("second", "first", "cnsa-2.0"), ("third", "second", "pci-dss-4.0.1")):
        auditor.judge(tmp_path / before, policy=policy, out=tmp_path / name).close()
    same(tmp_path / "audited", tmp_path / "third")


def test_what_is_not_given_stays(results: Path, tmp_path: Path, secret: Path) -> None:
    """An option that is not given is that of the audit that was judged before; given as none, it goes."""
    auditor.judge(results, topology=SAMPLES / "site.toml", out=tmp_path / "one").close()
    two = auditor.judge(tmp_path / "one", policy="pci-dss-4.0.1", out=tmp_path / "two")
    options = two.manifest["options"]
    assert (options["topology"], options["policy"]) == (str(SAMPLES / "site.toml"), "pci-dss-4.0.1")
    assert options["join_key"] == str(secret)
    three = auditor.judge(two, topology=None, policy="aws-pinpoint", out=tmp_path / "three")
    assert three.manifest["options"]["topology"] is None
    same(results, tmp_path / "three")


def test_network_and_logs(tmp_path: Path) -> None:
    """What captures show of their network counts when they are judged anew: a topology alone proves a path."""
    frames = [w.arp(scenes.AMAZON, w.AWS1, 101), *w.talk(server=w.ENI, out=scenes.DX1)]
    (tmp_path / "a.pcap").write_bytes(wire.pcap(frames, nanoseconds=True))
    for number, text in enumerate(('[[uplink]]\nname = "isp"\nvlan = 7\n', '[[uplink]]\nname = "isp"\nvlan = 101\n')):
        topology = tmp_path / f"{number}.toml"
        topology.write_text(text)
        auditor.audit(tmp_path / "a.pcap", out=tmp_path / "plain").close()
        auditor.audit(tmp_path / "a.pcap", topology=topology, out=tmp_path / "audited").close()
        auditor.judge(tmp_path / "plain", topology=topology, out=tmp_path / "judged").close()
        same(tmp_path / "audited", tmp_path / "judged")


@pytest.mark.parametrize("apart", [False, True])
def test_inputs_that_cannot_be_read(tmp_path: Path, apart: bool) -> None:
    """Files that could not be read, that are damaged or that were audited apart are told as they were."""
    (tmp_path / "b.pcapng").write_bytes((SAMPLES / "office.pcapng").read_bytes()[:-7])
    (tmp_path / "c.pcapng").write_text("no capture")
    captures = [SAMPLES / "tls1.3.pcapng", tmp_path / "b.pcapng", tmp_path / "c.pcapng"]
    auditor.audit(captures, apart=apart, out=tmp_path / "plain").close()
    audited = auditor.audit(captures, apart=apart, policy="cnsa-2.0", out=tmp_path / "audited")
    judged = auditor.judge(tmp_path / "plain", policy="cnsa-2.0", out=tmp_path / "judged")
    assert judged.errors == audited.errors
    assert judged.errors
    same(tmp_path / "audited", tmp_path / "judged")


def test_on_the_command_line(results: Path, tmp_path: Path) -> None:
    """The command writes and prints what the function gives, and what it wrote can be verified."""
    out = tmp_path / "out"
    done = command("judge", str(results), "--policy", "pci-dss-4.0.1", "--all", "--out", str(out), "--brief")
    assert done.exit_code == 0, done.output
    auditor.judge(results, policy="pci-dss-4.0.1", all_traffic=True, out=tmp_path / "same").close()
    same(out, tmp_path / "same")
    assert command("verify", str(out)).exit_code == 0
    assert command("judge", str(results), "--fail-on", "info", "--brief").exit_code == 1


def test_where_nothing_was_kept(results: Path, tmp_path: Path) -> None:
    """Results without what they were made of are results all the same, but cannot be judged anew, which is said."""
    folder = tmp_path / "results"
    auditor.load(results).save(folder)
    (folder / KEPT).unlink()
    assert command("who", str(folder), "tls1.0").exit_code == 0
    with pytest.raises(auditor.AuditError, match="keep nothing that could be judged anew: audit the captures again"):
        auditor.judge(folder)
    with pytest.raises(auditor.AuditError, match="holds no audit results"):
        auditor.judge(tmp_path)


def test_what_decides_what_is_read(results: Path, tmp_path: Path) -> None:
    """Keys, and what else decides what is read of captures, cannot be given anew; nor is a result its own input."""
    with pytest.raises(auditor.AuditError, match="keylog: decides what is read"):
        auditor.judge(results, keylog=tmp_path / "keys")
    with pytest.raises(auditor.AuditError, match="one of the files that are read"):
        auditor.judge(results, out=results)


def test_saved_results_are_judged(results: Path, tmp_path: Path) -> None:
    """A copy of results keeps what they were made of, and where their captures are is known to what is judged from it."""
    copied = auditor.load(results).save(tmp_path / "copy")
    auditor.judge(copied, out=tmp_path / "judged").close()
    same(results, tmp_path / "judged")
    places = json.loads((tmp_path / "judged" / CUSTODY).read_text())["captures"]
    assert {one["path"] for one in places} == {str(path) for path in CAPTURES}


def _rewritten(change: Callable[[dict[str, Any], dict[str, Any]], None], kind: str, source: Path, target: Path) -> None:
    """Write a log anew, with right digests, in which one record of a kind says something else."""
    from auditor.audit.replay import LAYOUTS
    from auditor.reading import kept, kept_control

    layouts: dict[str, Any] = {kept.BATCH: LAYOUTS, kept.CONTROL: kept_control.LAYOUTS, kept.SOURCES: kept.TALLIES}
    with source.open("rb") as file, target.open("wb") as out:
        for record in packed.records(file):
            found = packed.load(file, record, layouts.get(record.kind, {}))
            values, arrays = dict(found.values), dict(found.arrays)
            if record.kind == kind:
                change(values, arrays)
            for part in packed.encoded(record.kind, values, arrays):
                out.write(part)


def _other(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(values: dict[str, Any], arrays: dict[str, Any]) -> None:
        del arrays
        values[name] = value

    return change


def _numbers(name: str, field: str, number: int) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(values: dict[str, Any], arrays: dict[str, Any]) -> None:
        del values
        arrays[name][field] = number

    return change


HOSTILE = {
    "answers": ("requests of flows", _other("answers", [[1, {"rows": [{}], "unseen": None}]])),
    "options": ("audit", _other("options", "none")),
    "no options": ("audit", _other("options", {"policy": 5})),
    "notes": ("audit", _other("key_logs", [{"name": 1}])),
    "sources": ("sources", _other("sources", [])),
    "interfaces": ("sources", _other("interfaces", [1])),
    "network": ("control", _other("neighbours", 7)),
    "no captures": ("control", _other("captures", [])),
    "transport": ("batch of flows", _numbers("handshakes", "transport", 200)),
    "history": ("batch of flows", _numbers("handshakes", "history_length", 1 << 20)),
    "place": ("batch of flows", _numbers("handshakes", "server_name", 1 << 30)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_others_made_is_refused(results: Path, tmp_path: Path, case: str) -> None:
    """What was prepared to look as if an audit had kept it is judged, or is refused in one sentence."""
    kind, change = HOSTILE[case]
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    (folder / KEPT).unlink()
    _rewritten(change, kind, results / KEPT, folder / KEPT)
    words = ""
    try:
        auditor.judge(folder, policy="pci-dss-4.0.1", all_traffic=True).close()
    except auditor.AuditError as error:
        words = str(error)
    assert not words or words.endswith("audit the captures again")


@pytest.mark.parametrize("option", ["topology", "witnesses"])
def test_nothing_is_fetched_for_results_of_others(results: Path, tmp_path: Path, option: str) -> None:
    """A server that somebody else's results name is not asked for anything: whoever wants it names it."""
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    (folder / KEPT).unlink()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/site.toml?key=secret"
        named: Any = url if option == "topology" else [url]
        _rewritten(_other("options", {option: named}), "audit", results / KEPT, folder / KEPT)
        with pytest.raises(auditor.AuditError, match=f"^{option}: somebody else's results name http://127") as caught:
            auditor.judge(folder)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "secret" not in str(caught.value)


def _large_header(path: Path) -> None:
    """A record whose header is short lists alone: in memory they take sixty times their bytes."""
    head = json.dumps({"kind": "audit", "product": __version__, "values": {"x": []}, "arrays": []})
    text = head.replace('"x": []', f'"x": [{"[]," * (16 << 20)}0]').encode()
    path.write_bytes(packed.MAGIC + len(text).to_bytes(packed.LENGTH, "little") + text + bytes(packed.DIGEST))


def _large_array(path: Path) -> None:
    """A record of a few bytes that unpacks to a gigabyte."""
    layouts = {"number": np.dtype(np.int64)}
    parts = packed.encoded(kept.CONTROL, {}, {"number": np.zeros(1 << 17, np.int64)})
    header = json.loads(parts[2])
    whole = pa.Codec("zstd").compress(bytes(1 << 30))
    header["arrays"] = [["number", packed.layout(layouts["number"]), [1 << 27], len(whole)]]
    text = json.dumps(header).encode()
    data = b"".join([packed.MAGIC, len(text).to_bytes(packed.LENGTH, "little"), text, bytes(whole)])
    path.write_bytes(data + hashlib.sha256(data).digest())
    with path.open("rb") as file, pytest.raises(RefusedError, match="give --memory a larger size"):
        packed.load(file, next(packed.records(file, most=1 << 28)), layouts, most=1 << 28)


@pytest.mark.parametrize("prepare", [_large_header, _large_array])
def test_records_are_bound_by_memory(
    results: Path, tmp_path: Path, prepare: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others prepared to be unpacked takes no more than --memory gives, whatever its header says."""
    monkeypatch.setattr(memory, "ceiling", lambda given=None, **_: memory.Ceiling(given or 1 << 40))
    shutil.copytree(results, tmp_path / "r")
    prepare(tmp_path / "r" / KEPT)
    tracemalloc.start()
    with pytest.raises(AuditError):
        auditor.judge(tmp_path / "r", out=tmp_path / "out", memory="448M")
    assert tracemalloc.get_traced_memory()[1] < 300 << 20
    tracemalloc.stop()
