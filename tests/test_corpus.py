"""Other tools' answers on public captures, cell by cell; where they differ, why, by the bytes and the RFC."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import auditor

NO_CAPTURES = {".csv", ".txt", ".md", ".log"}
ENDS = ["client_ip", "client_port", "server_ip", "server_port"]
ZEEK_VERSIONS = {"SSLv2": "SSL 2.0", "SSLv3": "SSL 3.0", "TLSv10": "TLS 1.0", "TLSv11": "TLS 1.1", "TLSv12": "TLS 1.2", "TLSv13": "TLS 1.3"}  # fmt: skip

# Handshakes over QUIC and DTLS, and TLS inside base64 (GridFTP, RFC 2228), are not read yet.
NOT_TLS_RECORDS = ("quic", "dtls", "webrtc-stun", "merlinc2", "http3", "zerortt", "/quic/", "globus-url-copy")
# (capture, column) -> why our cell is another one than Zeek's.
EXPLAINED = {
    # 0x7E01 is Zeek's 32257, an experiment of Chrome's; we keep the number in hexadecimal.
    ("chrome-63.0.3211.0-canary-tls_experiment.pcap", "version"): "another spelling of an unknown version",
    # A tunnel: Zeek's row is of the TLS inside a WebSocket inside TLS or HTTP, which we do not look into.
    ("wstunnel-https.pcap", "row"): "TLS inside a WebSocket",
    ("wstunnel-http.pcap", "row"): "TLS inside a WebSocket",
}


# TLS that tshark shows inside other protocols, which are not looked into yet: OpenVPN's control channel, RDP over UDP,
# GTP-U.
INSIDE_OTHER_PROTOCOLS = {"openvpn_tcp_multi.pcap", "rdpeudp2-handshake-success.pcap", "gtp6_gtp_0x32.pcap"}


def captures(corpus: Path) -> Iterator[Path]:
    for path in sorted(corpus.rglob("*")):
        if path.is_file() and path.suffix not in NO_CAPTURES and "expected" not in path.parts:
            yield path


@pytest.mark.slow
def test_every_capture_goes_through(corpus: Path) -> None:
    """None of the corpus's captures raises, and each is either read or refused with a sentence."""
    read = 0
    for path in captures(corpus):
        try:
            result = auditor.audit(path)
        except auditor.AuditError as error:
            assert path.name in str(error)
            continue
        read += 1
        assert result.manifest["counts"]["captures"] == 1
        result.close()
    assert read > 1850


def rows(path: Path) -> Any:
    """A capture's handshakes with the ends of their flows as text."""
    result = auditor.audit(path)
    frame: Any = result.handshakes.merge(result.flows[["flow_id", *ENDS]], on="flow_id").astype(
        dict.fromkeys(ENDS, str)
    )
    result.close()
    return frame


def of_connection(frame: Any, src: str, sport: str, dst: str, dport: str) -> Any:
    """The handshakes of a connection, whichever end is named first; empty ports (a protocol's rows) match any."""

    def match(a: str, a_port: str, b: str, b_port: str) -> Any:
        chosen = (frame["client_ip"] == a) & (frame["server_ip"] == b)
        for column, port in (("client_port", a_port), ("server_port", b_port)):
            if isinstance(port, str):
                chosen &= frame[column] == port
        return chosen

    return frame[match(src, sport, dst, dport) | match(dst, dport, src, sport)]


def text(value: Any) -> str:
    return "-" if pd.isna(value) else str(value)


def test_zeek(corpus: Path) -> None:
    """Version, cipher and server name agree with Zeek's baselines, TLS behind STARTTLS included."""
    expected = pd.read_csv(corpus / "expected" / "zeek_ssl.csv", dtype=str)
    expected = expected[~expected["pcap"].str.contains("|".join(NOT_TLS_RECORDS)) & expected["src"].notna()]
    compared, wrong = 0, []
    for (source, pcap), group in expected.groupby(["source", "pcap"]):
        frame, name = rows(corpus / str(source) / str(pcap)), str(pcap).rsplit("/", 1)[-1]
        for row in group.itertuples():
            found = of_connection(frame, row.src, row.sport, row.dst, row.dport)
            if found.empty:
                wrong += [] if (name, "row") in EXPLAINED else [(name, "row", row.version, None)]
                compared += 3
                continue
            version = ZEEK_VERSIONS.get(row.version, str(row.version).replace("TLSv13-draft", "TLS 1.3 (draft "))
            version += ")" if "draft" in version else ""
            pairs = [
                ("version", version, "tls_version"),
                ("cipher", row.cipher, "cipher_suite"),
                ("server_name", row.server_name, "server_name"),
            ]
            for column, theirs, ours in pairs:
                if pd.isna(theirs):
                    continue
                compared += 1
                if theirs not in {text(v) for v in found[ours]} and (name, column) not in EXPLAINED:
                    wrong.append((name, column, theirs, list(found[ours])))
    assert compared > 280
    assert not wrong


# FoxIO's Python lists the fingerprints of both hellos of a HelloRetryRequest; ours, as the others', is the first's.
@pytest.mark.parametrize("implementation", ["python", "rust"])
def test_ja4(corpus: Path, implementation: str) -> None:
    """JA4 of TCP clients agrees with FoxIO's implementations, SOCKS and CONNECT included."""
    expected = pd.read_csv(corpus / "expected" / "ja4.csv", dtype=str)
    expected = expected[(expected["impl"] == implementation) & expected["ja4"].str.startswith("t", na=False)]
    compared, wrong = 0, []
    for (source, pcap), group in expected.groupby(["source", "pcap"]):
        frame = rows(corpus / str(source) / str(pcap))
        for row in group.itertuples():
            found = frame if pd.isna(row.src) else of_connection(frame, row.src, row.sport, row.dst, row.dport)
            compared += 1
            if row.ja4.split("|")[0] not in set(found["ja4"].dropna()):
                wrong.append((pcap, row.src, row.sport, row.ja4, list(found["ja4"])))
    assert not wrong
    assert compared > 100


def test_mercury_hellos(corpus: Path) -> None:
    """The suite lists and selected suites of TCP connections are mercury's."""
    expected = pd.read_csv(corpus / "expected" / "mercury.csv", dtype=str)
    expected = expected[expected["npf"].str.startswith("tls", na=False)]
    compared, wrong = 0, []
    for (source, pcap), group in expected.groupby(["source", "pcap"]):
        frame = rows(corpus / str(source) / str(pcap))
        for row in group.itertuples():
            found = of_connection(frame, row.src, row.sport, row.dst, row.dport)
            if row.side == "client":
                theirs = str(len(row.cipher_suites) // 4) if isinstance(row.cipher_suites, str) else None
                ours = {str(len(v.split())) for v in found["cipher_suites_offered"].dropna()}
            else:
                theirs, ours = row.selected_cipher_suite, {f"{v:04x}" for v in found["cipher_suite_id"].dropna()}
            if theirs is None:
                continue
            compared += 1
            if theirs not in ours:
                wrong.append((pcap, row.side, row.src, row.sport, theirs, ours))
    assert compared > 100
    assert not wrong


def test_tshark_sees_no_hello_that_we_do_not(corpus: Path) -> None:
    """Every ClientHello in TLS records that tshark 4.0 shows, we show too."""
    expected = pd.read_csv(corpus / "expected" / "tshark.csv", dtype=str)
    hello = expected["hs_types"].str.split(",").map(lambda v: isinstance(v, list) and "1" in v)
    expected = expected[
        (expected["proto"] == "tls") & hello & ~expected["pcap"].str.contains("|".join(NOT_TLS_RECORDS))
    ]
    compared, wrong = 0, []
    for (source, pcap), group in expected.groupby(["source", "pcap"]):
        frame = rows(corpus / str(source) / str(pcap))
        for row in group.itertuples():
            found = of_connection(frame, row.src, row.sport, row.dst, row.dport)
            compared += 1
            if found.empty:
                wrong.append((pcap, row.frame, row.src, row.sport, row.dport))
    assert compared > 500
    assert not {pcap.rsplit("/", 1)[-1] for pcap, *_ in wrong} - INSIDE_OTHER_PROTOCOLS, wrong
