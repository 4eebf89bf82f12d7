"""Other tools' answers on public captures, cell by cell; where they differ, why, by the bytes and the RFC."""

from pathlib import Path

import pytest

from tests import conformance

# Cells that must at least be there to compare, and the share that must be equal and not only explained.
LEAST = {
    "zeek_ssl": 1000,
    "zeek_x509": 1500,
    "zeek_quic": 40,
    "ja4": 350,
    "mercury": 240,
    "ipfixprobe": 110,
    "huginn": 18,
    "tshark": 4600,
}
EQUAL = {"zeek_ssl": 0.975, "zeek_x509": 0.975, "zeek_quic": 0.97, "ipfixprobe": 0.8, "tshark": 0.99}


@pytest.mark.slow
def test_every_capture_goes_through(corpus: Path) -> None:
    """None of the corpus's captures ends an audit: each is read, or refused with a sentence that names it."""
    paths = {str(path) for path in conformance.captures(corpus)}
    result = conformance.audited(corpus)
    refused = [error for error in result.manifest["errors"] if "internal" not in error]
    named = {path for path in paths if any(path in error for error in refused)}
    assert len(refused) == len(result.manifest["errors"])
    assert set(result.captures["capture"]) | named == paths
    assert len(result.captures) > 1850


@pytest.mark.slow
@pytest.mark.parametrize("source", conformance.SOURCES)
def test_agrees(corpus: Path, source: str) -> None:
    """Every cell that another tool states is ours too, or the difference is explained by the bytes and the RFC."""
    counts, wrong = conformance.compare(corpus, source)
    assert sum(count.compared for count in counts.values()) >= LEAST[source]
    assert not wrong
    equal = sum(count.equal for count in counts.values()) / sum(count.compared for count in counts.values())
    assert equal >= EQUAL.get(source, 1.0)


def test_explanations_are_needed(corpus: Path) -> None:
    """An explanation whose cell has become equal is deleted."""
    needless = set(conformance.EXPLAINED)
    for source in {source for source, *_ in conformance.EXPLAINED}:
        for cell in conformance.cells(corpus, source):
            if not cell.equal:
                name = cell.capture.rsplit("/", 1)[-1]
                needless -= {(source, name, cell.column), (source, name, "*")}
    assert not needless
