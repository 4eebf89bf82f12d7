"""Captures that are audited apart: small ones are judged together, and nothing is said of them that they alone do not show."""

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.audit import apart, described, pipeline
from auditor.tables.schema import TABLES
from tests import test_delivery as lost
from tests import wire
from tests.conftest import SAMPLES


@pytest.fixture
def small(tmp_path: Path) -> list[Path]:
    """Captures of a connection or two each: a hello that is lost in one and comes through, smaller, in another; interfaces; none."""
    folder = tmp_path / "small"
    folder.mkdir()
    failed, again = lost.opened(), lost.opened(sport=40_001)
    lost.hello(failed)
    failed.send(1, flags="RA")
    lost.hello(again, lost.SMALL)
    again.send(1, lost.ANSWER)
    contents = [wire.pcap(failed.packets), wire.pcap(again.packets), wire.pcap(failed.packets + again.packets)]
    contents += [wire.pcap([]), contents[0][:-7], b"no capture"]
    named = wire.block(1, b"\1\0\0\0\0\0\4\0" + wire.option(2, b"uplink") + bytes(4))
    for interfaces in ([wire.interface()], [named], [wire.interface(), named]):
        packets = [wire.enhanced(one, 10**15 + k, len(interfaces) - 1) for k, one in enumerate(again.packets)]
        contents.append(b"".join([wire.section(), *interfaces, *packets]))
    paths = [wire.write(folder, data, f"{number}.pcap") for number, data in enumerate(contents)]
    return [*paths, SAMPLES / "office.pcapng", SAMPLES / "requests.pcapng", SAMPLES / "tls1.3.pcapng", *paths[:2]]


def audited(paths: list[Path], **options: Any) -> dict[str, Any]:
    """What an audit apart says, without when it was."""
    with closing(auditor.audit(paths, apart=True, **options)) as result:
        return {table: result.arrow(table).to_pylist() for table in TABLES} | {"manifest": dict(result.manifest)}


@pytest.mark.parametrize("options", [{}, {"http": True}, {"topology": SAMPLES / "site.toml"}])
def test_judged_together_is_judged_apart(
    small: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Whether flows of several captures are in one batch changes no table and no total."""
    secret = tmp_path / "join.key"
    secret.write_bytes(random.Random(1).randbytes(64))
    together = audited(small, join_key=secret, **options)
    monkeypatch.setattr(apart, "MOST_OF_ONE", 0)
    each = audited(small, join_key=secret, **options)
    assert together.keys() == each.keys()
    for name, rows in each.items():
        assert together[name] == rows, name


def test_what_is_kept_has_the_batches_of_its_captures(
    small: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results in a folder have the same bytes whether others would have been put together or not, so also when gone on with."""
    auditor.audit(small, apart=True, out=tmp_path / "one").close()
    monkeypatch.setattr(apart, "MOST_OF_ONE", 0)
    auditor.audit(small, apart=True, out=tmp_path / "two").close()
    for table in ("flows", "handshakes", "evidence", "verdicts"):
        name = f"{table}.parquet"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_hello_of_another_capture_explains_nothing(small: list[Path]) -> None:
    """That a smaller hello came through is said where one capture shows both, and of a frame without that capture's name."""
    found, alone = auditor.audit(small[1:3], apart=True), auditor.audit(small[:2], apart=True)
    said, unsaid = (wire.only(one.findings[one.findings["rule"] == "TLS105"])["reason"] for one in (found, alone))
    assert "(frame 10) was answered" in said
    assert "smaller" not in unsaid
    found = auditor.audit(small[:3], apart=True)
    entries = [json.loads(text) for text in found.findings["evidence"].dropna()]
    assert any(len(parts) == 2 for parts in entries)


def test_many_small_captures_are_few_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred captures are described once; not more flows at a time than one large batch has."""
    batches: list[int] = []

    def counted(batch: Any, *others: Any) -> Any:
        batches.append(len(batch.rows))
        return described.describe(batch, *others)

    monkeypatch.setattr(pipeline, "describe", counted)
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello()))]).close()
    paths = [wire.write(tmp_path, wire.pcap(talk.packets), f"{number}.pcap") for number in range(100)]
    assert len(auditor.audit(paths, apart=True).flows) == 100
    assert batches == [100]
    batches.clear()
    monkeypatch.setattr(apart, "MOST_FLOWS", 30)
    assert len(auditor.audit(paths, apart=True).flows) == 100
    assert batches == [30, 30, 30, 10]
