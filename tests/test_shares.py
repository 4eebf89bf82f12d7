"""An audit whose flows are followed in shares says what an audit by one process says."""

import os
import ssl
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR

import auditor
from auditor.audit import followed, shares, worker
from auditor.capture.inputs import expand
from auditor.options import Options
from auditor.reading import checkpoint, kept
from tests import cuts, wire
from tests.conftest import HANG, SAMPLES
from tests.lab import scenes
from tests.sharing import audit_here, hide, rows, totals

SHARES = (2, 3, 7)
MANY = 12


@given(name=st.sampled_from(cuts.NAMES), count=st.sampled_from(SHARES), data=st.data())
@settings(max_examples=8)
def test_shares_are_the_whole(wholes: dict[str, Any], name: str, count: int, data: st.DataObject) -> None:
    """Whatever packets lie in which file, and however many follow them: the same rows in the same order."""
    sample = (SAMPLES / f"{name}.pcapng").read_bytes()
    packets = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(sample))
    piece_of = data.draw(st.lists(st.integers(0, 3), min_size=packets, max_size=packets))
    with tempfile.TemporaryDirectory() as folder:
        cut = cuts.cut_pcapng(sample, Path(folder), piece_of)
        with closing(audit_here(cut.paths, cuts.SITE, jobs=count)) as result:
            assert cuts.said(result, cut) == wholes[name]


@pytest.mark.parametrize("number", range(0, len(scenes.SCENES), 9))
def test_paths_are_the_same_in_shares(tmp_path: Path, number: int) -> None:
    """What a topology says of a scene does not depend on how many follow its flows."""
    capture, options = scenes.SCENES[number].write(tmp_path)
    with closing(auditor.audit(capture, **options)) as whole, closing(audit_here(capture, jobs=3, **options)) as shared:
        assert cuts.said(shared) == cuts.said(whole)
        assert shared.rows("captures") == whole.rows("captures")


@pytest.mark.parametrize("number", range(3, len(scenes.SCENES), 9))
def test_paths_that_shares_judge_apart(tmp_path: Path, number: int) -> None:
    """What a site's topology says of the flows of two hosts, a worker says of them by itself."""
    capture, options = scenes.SCENES[number].write(tmp_path)
    auditor.audit(capture, out=tmp_path / "one", **options).close()
    audit_here(capture, apart=True, jobs=3, out=tmp_path / "shared", **options).close()
    assert rows(tmp_path / "shared") == rows(tmp_path / "one")
    assert totals(tmp_path / "shared") == totals(tmp_path / "one")


@pytest.mark.parametrize("count", SHARES)
def test_shares_that_are_judged_apart(tmp_path: Path, count: int) -> None:
    """Where there are many flows each share is judged by itself: the same rows, findings and totals."""
    sample = SAMPLES / "office.pcapng"
    auditor.audit(sample, out=tmp_path / "one").close()
    audit_here(sample, apart=True, jobs=count, out=tmp_path / "shared").close()
    assert rows(tmp_path / "shared") == rows(tmp_path / "one")
    assert totals(tmp_path / "shared") == totals(tmp_path / "one")


def _told(pauses: list[float], life: int) -> Iterator[tuple[int, bytes]]:
    """An answer of the DNS, and flows to its address by the same client, each so long after the one before."""
    question = DNSQR(qname="api.example.org")
    answer = DNS(id=7, qr=1, qd=question, an=DNSRR(rrname="api.example.org", ttl=life, rdata="203.0.113.5"))
    time = 1_700_000_000 * wire.SECOND
    yield time, wire.datagram(bytes(answer), 53, 6000, client="10.0.0.53", server="192.0.2.10")
    for number, pause in enumerate(pauses):
        time += round(pause * wire.SECOND)
        packet = wire.datagram(b"\0" * 9, 41_000 + number, 9_000, client="192.0.2.10", server="203.0.113.5")
        yield time, packet


@given(
    pauses=st.lists(st.sampled_from([1.0, 30.0, 59.0, 61.0, 90.0]), min_size=2, max_size=MANY),
    count=st.sampled_from(SHARES),
)
@settings(max_examples=6)
def test_names_that_flows_of_other_shares_keep_alive(pauses: list[float], count: int) -> None:
    """An answer names flows as long as flows use it, whichever share these are in."""
    with tempfile.TemporaryDirectory() as folder:
        capture = wire.write(Path(folder), wire.pcap(list(_told([30.0, *pauses], 5)), nanoseconds=True))
        with closing(auditor.audit(capture)) as whole, closing(audit_here(capture, jobs=count)) as shared:
            assert whole.flows["server_name"].notna().any()
            assert cuts.said(shared) == cuts.said(whole)


@pytest.mark.parametrize("count", SHARES)
def test_sessions_that_began_in_flows_of_other_shares(tmp_path: Path, handshakes: Any, count: int) -> None:
    """Sessions that one connection began and others resume are found, and renewed tickets carry on."""
    keys = handshakes.Keys(tmp_path)
    packets: list[bytes] = []
    for number in range(8):
        session = handshakes.Session(keys, ssl.TLSVersion.TLSv1_2, "example.org")
        for shake in range(3):
            talk = wire.Talk(40_000 + 10 * number + shake).open().play(session.shake(b"x", b"y"))
            packets += talk.close().packets
    capture = wire.write(tmp_path, wire.pcap(packets))
    with closing(auditor.audit(capture)) as whole, closing(audit_here(capture, jobs=count)) as shared:
        assert whole.handshakes["forward_secrecy"].notna().sum() == 24
        assert cuts.said(shared) == cuts.said(whole)


def test_files_that_are_audited_apart(tmp_path: Path) -> None:
    """With --apart each file is a capture of its own in every share; what is no capture is told once."""
    text = wire.write(tmp_path, b"what is this?", "text.pcap")
    paths = [SAMPLES / "tls1.2.pcapng", text, SAMPLES / "office.pcapng", SAMPLES / "tls1.2.pcapng"]
    options = Options(apart=True)
    with closing(auditor.audit(paths, options)) as whole, closing(audit_here(paths, options, jobs=3)) as shared:
        assert shared.errors == whole.errors
        assert cuts.said(shared) == cuts.said(whole)
        assert shared.rows("captures") == whole.rows("captures")


def test_captures_in_archives(tmp_path: Path) -> None:
    """Other processes find captures in an archive by their places there."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("tls1.2", "tls1.3"):
            archive.write(SAMPLES / f"{name}.pcapng", f"{name}.pcapng")
    with (
        closing(auditor.audit(tmp_path / "all.zip")) as whole,
        closing(audit_here(tmp_path / "all.zip", jobs=2)) as some,
    ):
        assert cuts.said(some) == cuts.said(whole)
        assert some.rows("captures") == whole.rows("captures")


def test_an_archive_that_changes_meanwhile(tmp_path: Path) -> None:
    """A capture that is no longer in its archive is refused, with the reason."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("tls1.2", "tls1.3"):
            archive.write(SAMPLES / f"{name}.pcapng", f"{name}.pcapng")
    captures = shares.captures_of(expand([tmp_path / "all.zip"]))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(SAMPLES / "tls1.2.pcapng", "tls1.2.pcapng")
    assert [one.refusal for one in shares.inputs_of(captures, is_hashed=False)] == [
        None,
        "the archive has changed meanwhile",
    ]


def test_every_flow_is_in_one_share(tmp_path: Path) -> None:
    """Both directions of a flow fall into one share, and shares are about equally large."""
    talks = [wire.Talk(port, isn=(port, port)).open() for port in range(40_000, 40_700)]
    capture = wire.write(tmp_path, wire.pcap([packet for talk in talks for packet in talk.packets]))
    plan = shares.SharePlan(shares.captures_of(expand([capture])), Options(), 7, tmp_path, 1 << 29, 1 << 20)
    counts = []
    for number in range(7):
        (group,) = followed.follow(plan, number).groups
        sources, _ = kept.read_sources(group.sources)
        counts.append(sources[0].counted.flows)
    assert sum(counts) == len(talks)
    assert np.ptp(counts) < 70


def test_what_shares_keep_is_judged_anew(tmp_path: Path) -> None:
    """Results of many can be judged by another policy, as those of one: workers keep what they judged."""
    sample, policy = SAMPLES / "office.pcapng", "pci-dss-4.0.1"
    audit_here(sample, apart=True, jobs=3, out=tmp_path / "shared").close()
    auditor.judge(tmp_path / "shared", out=tmp_path / "judged", policy=policy).close()
    auditor.audit(sample, out=tmp_path / "audited", policy=policy).close()
    assert rows(tmp_path / "judged") == rows(tmp_path / "audited")
    assert totals(tmp_path / "judged") == totals(tmp_path / "audited")


def test_rows_whose_parts_have_words_of_their_own(tmp_path: Path) -> None:
    """A table of several parts, each with other words in a column of few, is handed over as it is."""
    parts = [pa.table({"path": pa.array(words).dictionary_encode()}) for words in (["vpn"], ["vpc", "internet"])]
    shares.write_rows(tmp_path / "rows", pa.concat_tables(parts))
    assert shares.read_rows(tmp_path / "rows")["path"].to_pylist() == ["vpn", "vpc", "internet"]


class GoneError(Exception):
    """A worker is gone in the middle of its work."""


@pytest.mark.parametrize("apart", [False, True])
def test_a_share_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """What a worker that died had read of a share nobody reads again, and nothing of it is doubled."""
    sample = (SAMPLES / "office.pcapng").read_bytes()
    packets = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(sample))
    (tmp_path / "in").mkdir()
    files = cuts.cut_pcapng(sample, tmp_path / "in", [k * 5 // packets for k in range(packets)]).paths
    one, several = tmp_path / "one", tmp_path / "several"
    auditor.audit(files, apart=apart, out=one).close()
    for name in ("SHORTEST", "TIMES"):
        monkeypatch.setattr(checkpoint, name, 0)
    monkeypatch.setattr(checkpoint, "INSIDE", HANG)
    reach, follow, left = followed.Following._reach, followed.follow, dict[int, int]()

    def reached(self: followed.Following, *arguments: Any) -> None:
        reach(self, *arguments)
        number = int(self.folder.name.split("-")[1])
        left[number] = left.get(number, 3) - 1
        if left[number] == 0:
            raise GoneError

    def dying(plan: shares.SharePlan, number: int) -> shares.Followed:
        with pytest.raises(GoneError):
            follow(plan, number)
        kept_bytes = [path.read_bytes() for path in files[:3]]
        hide(files[:3])
        try:
            return follow(plan, number)
        finally:
            for path, data in zip(files, kept_bytes, strict=False):
                status = path.stat()
                path.write_bytes(data)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    monkeypatch.setattr(followed.Following, "_reach", reached)
    monkeypatch.setitem(worker.PIECES, "follow", dying)
    audit_here(files, Options(apart=apart, jobs=3, out=several), apart=True).close()
    assert sorted(left) == [0, 1, 2]
    assert rows(several) == rows(one)
    assert totals(several) == totals(one)
