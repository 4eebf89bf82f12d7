"""Captures and results in Google Cloud Storage and in Azure's blobs, as servers on loopback play them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import auditor
from auditor.errors import InputError
from tests import clouds, cuts, wire
from tests.conftest import SAMPLES

COUNT = 3
STORES = {"gs": ("gcsfs", clouds.google), "az": ("adlfs", clouds.azure)}


@pytest.fixture(params=STORES)
def scheme(request: pytest.FixtureRequest) -> str:
    """The scheme of a store's URLs."""
    return str(request.param)


@pytest.fixture
def store(scheme: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[clouds.Store]:
    """The store, whose address the environment has."""
    package, serving = STORES[scheme]
    pytest.importorskip(package, reason=f"{package} is not installed")
    with serving() as (there, settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield there


def test_captures_and_results(scheme: str, store: clouds.Store, tmp_path: Path) -> None:
    """A capture in several objects is audited as in files, by prefix and by pattern; results go there, and are gone on with."""
    sample = (SAMPLES / "tls1.2.pcapng").read_bytes()
    packets = sum(kind == cuts.ENHANCED_PACKET for kind, _ in wire.blocks_of(sample))
    files = cuts.cut_pcapng(sample, tmp_path, [k * COUNT // packets for k in range(packets)]).paths
    for file in files[:-1]:
        store.put(f"captures/in/{file.name}", file.read_bytes())
    with closing(auditor.audit(f"{scheme}://captures/in/", out=f"{scheme}://captures/out/1")) as first:
        assert len(first.captures) == COUNT - 1
    store.put(f"captures/in/{files[-1].name}", files[-1].read_bytes())
    with closing(auditor.audit(files)) as whole:
        expected = cuts.said(whole)
        for where in ("in/", "in/*.pcapng"):
            with closing(auditor.audit(f"{scheme}://captures/{where}")) as result:
                assert cuts.said(result) == expected
    said: list[str] = []
    auditor.audit(f"{scheme}://captures/in/", out=f"{scheme}://captures/out/1", say=said.append).close()
    assert said == [f"{COUNT - 1} of {COUNT} captures were read before; --fresh reads them again"]
    with closing(auditor.Audit.load(f"{scheme}://captures/out/1")) as result:
        assert cuts.said(result) == expected


def test_what_is_not_there(scheme: str, store: clouds.Store) -> None:
    """An object that the store has not is an error that says so."""
    del store
    with pytest.raises(InputError, match=r"no such object|nothing is below"):
        auditor.audit(f"{scheme}://captures/nothing.pcap")
