"""Batches of finished flows, what captures show of their network, and what is counted of them, in files and back."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditor.border.gate import RefusedError
from auditor.capture.inputs import expand
from auditor.decode.control import (
    SEGMENT,
    BgpStream,
    Binding,
    Control,
    Encrypted,
    FirstSeen,
    IcmpError,
    Neighbour,
)
from auditor.flows import state as S
from auditor.machine import packed
from auditor.reading import kept
from auditor.reading.events import Batch, CapturesEnded
from auditor.reading.following import Reading
from auditor.tls.interned import names_of
from tests.conftest import SAMPLES

NAMES = ("office.pcapng", "requests.pcapng", "week.pcapng.gz", "tls1.3.pcapng")
TABLES = ("sides", "places", "handshake_flow", "place_flow")


@pytest.fixture(scope="module")
def events() -> Iterator[list[Batch | CapturesEnded]]:
    """What reading some samples as one yields."""
    reading = Reading(expand([SAMPLES / name for name in NAMES]))
    yield [event for event in reading if isinstance(event, Batch | CapturesEnded)]
    reading.close()


def batches(events: list[Batch | CapturesEnded]) -> list[Batch]:
    return [event for event in events if isinstance(event, Batch)]


def network() -> Control:
    """A network of which everything is shown that captures can show, and addresses of which some take all 64 bits."""
    high, control = (1 << 64) - 1, Control(captures=["a", "b"])
    control.bindings[Binding((high, 1), 2, high, 1, 3)] = FirstSeen(1 << 40, 5, "ND", {"ND", "BGP"}, {(high, 7)})
    control.errors.append(IcmpError("packet too big", (0, 1), (high, 2), (0, 3), 1400, 9, 10))
    control.neighbours[Neighbour(1, "switch", "port 1", 2, 3)] = 4
    control.macsec[high, 1] = Encrypted(1, 2, 3)
    segments = [(1, b"open", 5), (5, b"", 6), (1 << 31, b"update", 7)]
    control.bgp[(0, 1), 179, (high, 2), 4000] = BgpStream((0, 1), (high, 2), segments, 1, 2, 0, {(1, 2)})
    control.bgp[(0, 1), 180, (high, 2), 4000] = BgpStream((0, 1), (high, 2), frame=1, time=2)
    for stream in control.bgp.values():
        control.bound_bgp(2 * SEGMENT + sum(SEGMENT + len(data) for _, data, _ in stream.segments))
    control.left_out["addresses"] = 3
    return control


def test_batches_come_back(events: list[Batch | CapturesEnded], tmp_path: Path) -> None:
    """A batch that was written has the same rows when it is read, and its numbers mean the same strings."""
    for number, batch in enumerate(batches(events)):
        path = tmp_path / str(number)
        back = kept.read_batch(path, 7, digest=kept.write_batch(path, batch))
        assert (back.captures, back.interfaces, back.size) == (batch.captures, batch.interfaces, batch.size)
        assert back.generation == 7
        for name in TABLES:
            assert getattr(back.rows, name).tobytes() == getattr(batch.rows, name).tobytes()
        for table, field in (("handshakes", "server_name"), ("flows", "dns"), ("flows", "host")):
            told = [
                names_of(one.memory, np.asarray(getattr(one.rows, table)[field], np.int64)) for one in (back, batch)
            ]
            assert told[0] == told[1]


def test_secrets_are_not_kept(events: list[Batch | CapturesEnded], tmp_path: Path) -> None:
    """A file of a batch whose capture shows TLS secrets has none of them."""
    batch = batches(events)[0]
    secrets = [line for texts in batch.key_logs.values() for text in texts for line in text.splitlines()]
    assert secrets
    path = tmp_path / "batch"
    kept.write_batch(path, batch)
    assert kept.read_batch(path, 0).key_logs == {}
    assert not [line for line in secrets if line in path.read_bytes()]


def test_network_and_counts_come_back(events: list[Batch | CapturesEnded], tmp_path: Path) -> None:
    """What captures show of their network, and what was counted of each, is the same when it was read back."""
    ended = next(event for event in events if isinstance(event, CapturesEnded))
    path = tmp_path / "control"
    for one in (ended.control, network()):
        control = kept.read_control(path, kept.write_control(path, one))
        assert replace(control, most=one.most) == one
    path = tmp_path / "sources"
    kept.write_sources(path, ended.sources, ended.interfaces)
    sources, interfaces = kept.read_sources(path)
    assert interfaces == ended.interfaces
    for back, source in zip(sources, ended.sources, strict=True):
        assert kept.counted_values(back) == kept.counted_values(source)
        assert back.counted.counters.tobytes() == source.counted.counters.tobytes()
        assert back.item.sha256() == hashlib.sha256((SAMPLES / Path(source.item.name).name).read_bytes()).hexdigest()


def test_a_byte_that_changed_is_refused(events: list[Batch | CapturesEnded], tmp_path: Path) -> None:
    """A file of which any byte is another one, or that is cut off, is refused with a reason."""
    path = tmp_path / "batch"
    kept.write_batch(path, batches(events)[0])
    data = path.read_bytes()
    for at in (0, 9, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(RefusedError):
            kept.read_batch(path, 0)
        path.write_bytes(data[:at])
        with pytest.raises(RefusedError):
            kept.read_batch(path, 0)


def _no_flow(batch: Batch) -> None:
    batch.rows.handshake_flow[-1] = len(batch.rows)


def _no_capture(batch: Batch) -> None:
    batch.rows.sides["first_frame"][0, 0] = len(batch.captures) << 40


def _no_interface(batch: Batch) -> None:
    batch.rows.sides["interface"][0, 0] = len(batch.interfaces)


def _no_side(batch: Batch) -> None:
    batch.rows.sides = batch.rows.sides[1:]


@pytest.mark.parametrize("spoil", [_no_flow, _no_capture, _no_interface, _no_side])
def test_rows_that_name_what_is_not_there_are_refused(
    events: list[Batch | CapturesEnded], tmp_path: Path, spoil: Callable[[Batch], None]
) -> None:
    """A file whose digest is right, but whose rows name a flow, capture or interface that it has not, is refused."""
    path = tmp_path / "batch"
    kept.write_batch(path, batches(events)[0])
    batch = kept.read_batch(path, 0)
    spoil(batch)
    kept.write_batch(path, batch)
    with pytest.raises(RefusedError, match="damaged"):
        kept.read_batch(path, 0)


def test_other_versions_and_kinds_are_refused(
    events: list[Batch | CapturesEnded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another kind, another version of the product or another layout of its rows is refused, and says so."""
    path = tmp_path / "file"
    kept.write_control(path, Control(captures=["a"]))
    with pytest.raises(RefusedError, match="does not hold a batch"):
        kept.read_batch(path, 0)
    with monkeypatch.context() as other:
        other.setattr(packed, "__version__", "0.0.0")
        kept.write_control(path, Control(captures=["a"]))
    with pytest.raises(RefusedError, match=r"by auditor 0\.0\.0, and this is"):
        kept.read_control(path)
    kept.write_batch(path, batches(events)[0])
    monkeypatch.setitem(kept.LAYOUTS, "places", S.STREAM)
    with pytest.raises(RefusedError, match="laid out in another way"):
        kept.read_batch(path, 0)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """An array that unpacks to more bytes than may be read is refused before memory is taken for it."""
    path = tmp_path / "file"
    packed.write(path, "zeros", {}, {"zeros": np.zeros(1 << 20, np.int64)})
    with pytest.raises(RefusedError, match="more memory than there is"):
        packed.read(path, "zeros", {"zeros": np.dtype(np.int64)}, most=1 << 20)
