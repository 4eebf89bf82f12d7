"""The truth beside the bench captures: every TLS flow found, with version, suite, server name and ALPN."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import auditor
from auditor.tls.names import version_name

ENDS = ["client_ip", "client_port", "server_ip", "server_port"]


@pytest.fixture(scope="session")
def small(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bench capture, made by the script beside the corpus, and its truth."""
    maker = corpus.parent / "bench" / "make_captures.py"
    if not maker.exists():
        pytest.skip(f"no bench scripts at {maker.parent}")
    folder = tmp_path_factory.mktemp("bench")
    # Enough flows that every kind and every trap is among them.
    code = "import make_captures; make_captures.handshakes('bench.pcap', 3000)"
    environment = {**os.environ, "PYTHONPATH": str(maker.parent), "NUMBA_CACHE_DIR": str(folder / "cache")}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder, env=environment)
    return folder / "bench.pcap"


@pytest.mark.slow
def test_truth(small: Path) -> None:
    """Reordered, duplicated, tiny segments, lost SYN, refused, STARTTLS: 100 % of TLS flows, in every column."""
    result = auditor.audit(small)
    truth: Any = pd.read_parquet(small.with_suffix(".truth.parquet"))
    truth = truth.rename(
        columns={"src": "client_ip", "sport": "client_port", "dst": "server_ip", "dport": "server_port"}
    )
    flows: Any = result.flows.astype({"client_port": "int64", "server_port": "int64"})
    both = truth.merge(flows, on=ENDS, how="left", suffixes=("_true", ""))
    assert both["flow_id"].notna().all()
    assert len(both) == len(flows)
    assert (both["client_packets"] + both["server_packets"] == both["packets"]).all()
    assert (both["client_bytes"] + both["server_bytes"] == both["bytes"]).all()

    tls = both[both["kind"].isin(["tls", "tls_fail", "starttls", "quic"])].merge(
        result.handshakes, on="flow_id", suffixes=("", "_ours")
    )
    assert len(tls) == truth["kind"].isin(["tls", "tls_fail", "starttls", "quic"]).sum()
    assert set(tls["mode"]) == {"normal", "tiny_ch", "dup_ch", "reorder_s", "lost_syn"}
    assert (tls["server_name_ours"].fillna("") == tls["sni"]).all()
    answered = tls[tls["suite_code"] >= 0]
    assert (answered["cipher_suite_id"] == answered["suite_code"]).all()
    assert (answered["tls_version_ours"].astype(str) == answered["version_code"].map(version_name)).all()
    assert (answered["hello_retry"] == answered["hrr"]).all()
    assert (answered["resumed_ours"].astype(bool) == answered["resumed_true"]).all()
    # TLS 1.3 encrypts what the server chose: there it must be missing, and be among what the client offered.
    old = answered[answered["version_code"] < 0x0304]
    assert (old["alpn_ours"].fillna("") == old["alpn"]).all()
    new = answered[answered["version_code"] == 0x0304]
    assert new["alpn_ours"].isna().all()
    offered = new["alpn_offered"].fillna("").str.split()
    assert all(not chosen or chosen in names for chosen, names in zip(new["alpn"], offered, strict=True))
    # Whoever finished is established, whoever was refused is not.
    assert (tls["established_ours"].astype(bool) == (tls["kind"] != "tls_fail")).all()


def test_nothing_else_is_taken_for_tls(small: Path) -> None:
    """HTTP, DNS, SSH and noise on port 443 make no handshakes."""
    result = auditor.audit(small)
    truth = pd.read_parquet(small.with_suffix(".truth.parquet"))
    assert len(result.handshakes) == truth["kind"].isin(["tls", "tls_fail", "starttls", "quic"]).sum()
    assert (result.flows["protocol"] == "ssh").sum() == (truth["kind"] == "ssh").sum()
    assert (result.flows["protocol"] == "dns").sum() == (truth["kind"] == "dns").sum()
    assert (result.flows["protocol"] == "quic").sum() == (truth["kind"] == "quic").sum()
