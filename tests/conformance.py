"""Other tools' answers on the public corpus, cell by cell: ``python -m tests.conformance`` prints the table.

A cell is one value that another implementation states of a capture and that we have a column for. Where ours is
another one, ``EXPLAINED`` says why, by the bytes and the RFC; anything else counts as wrong. With ``--tshark PROGRAM`` that
tshark is asked about the same captures, in place of the answers that the corpus has of an older one.
"""

import argparse
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import auditor
from tests import tshark_answers

NO_CAPTURES = {".csv", ".txt", ".md", ".log"}
ENDS = ["client_ip", "client_port", "server_ip", "server_port"]
ZEEK_VERSIONS = {
    "SSLv2": "SSL 2.0",
    "SSLv3": "SSL 3.0",
    "TLSv10": "TLS 1.0",
    "TLSv11": "TLS 1.1",
    "TLSv12": "TLS 1.2",
    "TLSv13": "TLS 1.3",
    "DTLSv10": "DTLS 1.0",
    "DTLSv12": "DTLS 1.2",
    "DTLSv13": "DTLS 1.3",
}
# (source, capture, column) -> why our cell is another one. ``row``: why there is no row at all. ``*``: any column.
EXPLAINED: dict[tuple[str, str, str], str] = {
    ("zeek_ssl", "chrome-63.0.3211.0-canary-tls_experiment.pcap", "version"): (
        "an experiment's version 0x7E01 is written in hexadecimal"
    ),
    ("zeek_ssl", "chrome-63.0.3211.0-canary-tls_experiment.pcap", "resumed"): (
        "like TLS 1.3 it echoes the session id, which says nothing (RFC 8446 4.1.3); no pre_shared_key was accepted"
    ),
    ("zeek_ssl", "dtls13-cid.pcap", "ssl_history"): (
        "Zeek writes a letter for each retransmission of one ClientHello (same message_seq, RFC 6347 4.2.4)"
    ),
    ("zeek_ssl", "tls1.2-late-protocol-error.pcap", "ssl_history"): (
        "Zeek stops at a record that is not valid; the server's ChangeCipherSpec is there"
    ),
    ("zeek_ssl", "wstunnel-https.pcap", "*"): "TLS inside a WebSocket inside TLS: encrypted in this capture",
    ("zeek_x509", "rdp-x509.pcap", "*"): "certificates of RDP's own security ([MS-RDPBCGR] 2.2.1.4), not of TLS",
    ("zeek_quic", "vector-max-size-crash.pcap", "version"): "0x10010000 is no version of QUIC that anybody speaks",
    (
        "tshark",
        "tls-handshake.pcapng",
        "tls ja3",
    ): "the second ClientHello after a HelloRetryRequest; a row is the first's",
    ("tshark", "tls-sni.pcapng", "tls ja3"): "the second ClientHello after a HelloRetryRequest; a row is the first's",
    ("tshark", "dtls13-cid.pcap", "dtls ja3"): "the second ClientHello after a HelloRetryRequest; a row is the first's",
    (
        "tshark",
        "dtls13-wolfssl.pcap",
        "dtls ja3",
    ): "the second ClientHello after a HelloRetryRequest; a row is the first's",
    ("tshark", "corner-cases.pcap", "tls suite"): "an encrypted Finished whose first byte happens to be 2",
    ("tshark", "encrypted_handshake_cert_false_positive.pcap", "tls suite"): (
        "an encrypted Finished whose first byte happens to be 2: its length does not fit its record"
    ),
}
# (source, column) -> why all such cells may differ.
EVERYWHERE = {
    ("ipfixprobe", "ja4"): "ipfixprobe counts GREASE values, which JA4 leaves out; its other two parts are ours",
    ("zeek_ssl", "established"): "unknown to Zeek for QUIC; packets under the session's keys from both sides show it",
}


@dataclass
class Cell:
    """One value to compare: theirs, and the values that we have for the same connection."""

    source: str
    capture: str
    column: str
    who: str
    theirs: str
    ours: set[str]

    @property
    def equal(self) -> bool:
        return self.theirs in self.ours

    @property
    def explained(self) -> str | None:
        for column in (self.column, "*"):
            why = EXPLAINED.get((self.source, self.capture.rsplit("/", 1)[-1], column))
            if why:
                return why
        return self._everywhere

    @property
    def _everywhere(self) -> str | None:
        why = EVERYWHERE.get((self.source, self.column))
        if self.source == "ipfixprobe" and {self.theirs[11:]} != {ours[11:] for ours in self.ours}:
            return None
        return None if self.column == "established" and "/quic/" not in self.capture else why


def text(value: Any) -> str:
    return "-" if value is None or pd.isna(value) else str(value)


def captures(corpus: Path) -> Iterator[Path]:
    """Every capture of the corpus."""
    for path in sorted(corpus.rglob("*")):
        if path.is_file() and path.suffix not in NO_CAPTURES and "expected" not in path.parts:
            yield path


@cache
def audited(corpus: Path) -> auditor.Audit:
    """One audit of the whole corpus, in which each capture is one by itself."""
    return auditor.audit([*captures(corpus)], apart=True)


@cache
def handshakes(corpus: Path) -> dict[str, Any]:
    """The handshakes of each capture, with the ends of their flows as text; and of "" none."""
    result = audited(corpus)
    frame: Any = result.handshakes.merge(result.flows[["flow_id", "capture", "protocol", *ENDS]], on="flow_id")
    frame = frame.astype(dict.fromkeys(ENDS, str)).astype(object)  # of one kind: rows are chosen some thousand times
    return {"": frame[:0], **dict(iter(frame.groupby("capture", observed=True)))}


def tables(corpus: Path, name: str) -> tuple[Any, Any]:
    """A capture's handshakes with the ends of their flows as text, and the certificates of all."""
    found = handshakes(corpus)
    return found.get(str(corpus / name), found[""]), audited(corpus).certificates


def of_connection(frame: Any, row: Any) -> Any:
    """The handshakes of a connection, whichever end is named first; one without addresses matches them all."""
    if pd.isna(row.src) or row.src == "-":
        return frame

    def match(a: str, a_port: Any, b: str, b_port: Any) -> Any:
        chosen = (frame["client_ip"] == a) & (frame["server_ip"] == b)
        for column, port in (("client_port", a_port), ("server_port", b_port)):
            if isinstance(port, str):
                chosen &= frame[column] == port
        return chosen

    return frame[match(row.src, row.sport, row.dst, row.dport) | match(row.dst, row.dport, row.src, row.sport)]


def rows_of(
    corpus: Path, source: str, keep: Callable[[Any], Any] | None = None, expected: Any = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Each row of an expectation with our handshakes of its connection and the capture's certificates.

    ``expected``: the rows, if not those that the corpus has.
    """
    if expected is None:
        expected = pd.read_csv(corpus / "expected" / f"{source}.csv", dtype=str)
    if keep is not None:
        expected = expected[keep(expected)]
    for (origin, pcap), group in expected.groupby(["source", "pcap"]):
        frame, certificates = tables(corpus, f"{origin}/{pcap}")
        for row in group.itertuples():
            yield row, of_connection(frame, row) if hasattr(row, "src") else frame, certificates


def who(row: Any) -> str:
    return f"{row.src}:{row.sport}>{row.dst}:{row.dport}" if hasattr(row, "src") else ""


def values(rows: Any, column: str) -> set[str]:
    return {text(value) for value in rows[column]}


def zeek_version(name: str) -> str:
    if name.startswith("TLSv13-draft"):
        return f"TLS 1.3 (draft {name.removeprefix('TLSv13-draft')})"
    return ZEEK_VERSIONS.get(name, name)


def zeek_ssl(corpus: Path) -> Iterator[Cell]:
    """Zeek's ssl.log: version, cipher, curve, server name, resumption, protocol, establishment, history."""
    truth = {"T": "True", "F": "False"}
    for row, rows, _ in rows_of(corpus, "zeek_ssl"):
        cells = [
            ("version", zeek_version(str(row.version)), "tls_version"),
            ("cipher", row.cipher, "cipher_suite"),
            ("curve", row.curve, "key_exchange_group"),
            ("server_name", row.server_name, "server_name"),
            ("resumed", truth.get(row.resumed), "resumed"),
            ("next_protocol", row.next_protocol, "alpn"),
            ("established", truth.get(row.established), "established"),
            ("ssl_history", row.ssl_history, "history"),
        ]
        for column, theirs, ours in cells:
            if theirs is None or pd.isna(theirs):
                continue
            have = values(rows, ours)
            if column == "curve":  # Zeek's curve is an elliptic one, or any group of TLS 1.3
                have |= {"-" for group in set(have) if group.startswith(("dh", "ffdhe"))}
            if column in ("resumed", "established"):  # Zeek has no third value
                have |= {"False" for value in set(have) if value == "-"}
            # "^": the connection was turned round, a matter of the flow.
            said = theirs.removeprefix("^") if column == "ssl_history" else theirs
            yield Cell("zeek_ssl", row.pcap, column, who(row), said, have)


def zeek_x509(corpus: Path) -> Iterator[Cell]:
    """Zeek's x509.log."""
    pairs = {
        "cert_version": "version",
        "cert_serial": "serial",
        "cert_subject": "subject",
        "cert_issuer": "issuer",
        "cert_not_valid_before": "not_before",
        "cert_not_valid_after": "not_after",
        "cert_key_alg": "key_algorithm",
        "cert_sig_alg": "signature_algorithm",
        "cert_key_type": "key_type",
        "cert_key_length": "key_bits",
        "cert_exponent": "exponent",
        "cert_curve": "curve",
        "san.dns": "san_dns",
        "san.ip": "san_ip",
        "san.email": "san_email",
        "basic_constraints.ca": "is_ca",
    }
    for row in pd.read_csv(corpus / "expected" / "zeek_x509.csv", dtype=str).to_dict("records"):
        _, certificates = tables(corpus, f"{row['source']}/{row['pcap']}")
        rows = certificates[certificates["certificate_id"] == row["fingerprint"]]
        for theirs_name, ours_name in pairs.items():
            theirs = row[theirs_name]
            if pd.isna(theirs):
                continue
            have = values(rows, ours_name)
            if ours_name in ("not_before", "not_after"):
                have = {f"{value.timestamp():.6f}" for value in rows[ours_name] if not pd.isna(value)}
            elif ours_name == "is_ca":
                have = {{"True": "T", "False": "F"}.get(value, value) for value in have}
            elif ours_name.startswith("san"):
                have = {value.replace(" ", ",") for value in have}
            elif ours_name in ("subject", "issuer"):  # Zeek's log escapes its own separator
                theirs = theirs.replace("\\\\", "\\")
            yield Cell("zeek_x509", row["pcap"], theirs_name, row["fingerprint"][:12], theirs, have)


def zeek_quic(corpus: Path) -> Iterator[Cell]:
    """Zeek's quic.log: version, server name, first protocol offered."""
    for row, rows, _ in rows_of(corpus, "zeek_quic"):
        quic = rows[rows["transport"] == "quic"]
        for column, theirs in (
            ("version", row.version),
            ("server_name", row.server_name),
            ("client_protocol", row.client_protocol),
        ):
            if pd.isna(theirs) or theirs in ("-", "(empty)"):
                continue
            if column == "version":
                have = {{"2": "quicv2"}.get(version, version) for version in values(quic, "quic_version")}
            elif column == "server_name":
                have = values(quic, "server_name")
            else:
                have = {value.split()[0] for value in values(quic, "alpn_offered")}
            yield Cell("zeek_quic", row.pcap, column, who(row), theirs, have)


def ja4(corpus: Path) -> Iterator[Cell]:
    """FoxIO's own implementations: rows of clients on which none of them contradicts another."""
    expected = pd.read_csv(corpus / "expected" / "ja4.csv", dtype=str)
    expected = expected[expected["ja4"].str.match(r"^[tqd]\d\d", na=False)]
    said: dict[tuple[str, ...], set[str]] = defaultdict(set)
    key = ["source", "pcap", "src", "sport", "dst", "dport"]
    for row in expected.itertuples():
        if isinstance(row.src, str):
            said[tuple(str(getattr(row, name)) for name in key)] |= {str(row.ja4).split("|")[0]}
    for row, rows, _ in rows_of(corpus, "ja4", lambda f: f["ja4"].str.match(r"^[tqd]\d\d", na=False)):
        one = row.ja4.split("|")[0]
        if isinstance(row.src, str) and len(said[tuple(str(getattr(row, name)) for name in key)]) > 1:
            continue
        yield Cell("ja4", row.pcap, f"ja4 ({row.impl})", who(row), one, values(rows, "ja4"))


def mercury(corpus: Path) -> Iterator[Cell]:
    """Cisco mercury: suites offered and chosen, server name."""
    for row, rows, _ in rows_of(corpus, "mercury"):
        if row.side == "client":
            if isinstance(row.cipher_suites, str):
                count = str(len(row.cipher_suites) // 4)
                have = {str(len(v.split())) for v in rows["cipher_suites_offered"].dropna()}
                yield Cell("mercury", row.pcap, "suites offered", who(row), count, have)
            if isinstance(row.server_name, str):
                yield Cell("mercury", row.pcap, "server_name", who(row), row.server_name, values(rows, "server_name"))
        elif isinstance(row.selected_cipher_suite, str):
            have = {f"{v:04x}" for v in rows["cipher_suite_id"].dropna()}
            yield Cell("mercury", row.pcap, "suite", who(row), row.selected_cipher_suite, have)


def ipfixprobe(corpus: Path) -> Iterator[Cell]:
    """CESNET ipfixprobe: JA3, JA4, server name, extensions."""
    for row, rows, _ in rows_of(corpus, "ipfixprobe"):
        for column, ours in (("ja3", "ja3"), ("ja4", "ja4"), ("sni", "server_name")):
            theirs = getattr(row, column)
            if isinstance(theirs, str) and theirs:
                yield Cell("ipfixprobe", row.pcap, column, who(row), theirs, values(rows, ours))
        if isinstance(row.ext_types, str):
            count = str(len(row.ext_types.strip("[]").split("|")))
            have = {str(len(v.split())) for v in rows["extensions"].dropna()}
            yield Cell("ipfixprobe", row.pcap, "extensions", who(row), count, have)


def huginn(corpus: Path) -> Iterator[Cell]:
    """huginn-net: JA4, server name, protocol."""
    for row, rows, _ in rows_of(corpus, "huginn"):
        yield Cell("huginn", row.pcap, "ja4", who(row), row.ja4, values(rows, "ja4"))
        yield Cell("huginn", row.pcap, "sni", who(row), row.sni, values(rows, "server_name"))
        have = {v.split()[0] for v in values(rows, "alpn_offered")}
        yield Cell("huginn", row.pcap, "alpn", who(row), row.alpn, have)


def tshark(corpus: Path, answers: Any = None) -> Iterator[Cell]:
    """tshark: every hello, its server name, its suite, JA3. ``answers``: of which one, if not of the corpus's 4.0."""

    def with_hello(frame: Any) -> Any:
        return frame["hs_types"].str.split(",").map(lambda v: isinstance(v, list) and bool({"1", "2"} & set(v)))

    for row, rows, _ in rows_of(corpus, "tshark", with_hello, answers):
        kinds = row.hs_types.split(",")
        if "1" in kinds:
            seen = values(rows, "client_hello_frame") - {"-"}
            yield Cell("tshark", row.pcap, f"{row.proto} ClientHello", who(row), "seen", {"seen"} if seen else set())
            if isinstance(row.ja3, str) and "," not in row.ja3:
                yield Cell("tshark", row.pcap, f"{row.proto} ja3", who(row), row.ja3, values(rows, "ja3"))
            if isinstance(row.sni, str) and "," not in row.sni:
                yield Cell("tshark", row.pcap, f"{row.proto} sni", who(row), row.sni, values(rows, "server_name"))
        if "2" in kinds and isinstance(row.ciphersuite, str):
            theirs = str(int(row.ciphersuite.split(",")[0], 16))
            have = values(rows, "cipher_suite_id")
            yield Cell("tshark", row.pcap, f"{row.proto} suite", who(row), theirs, have)


SOURCES: dict[str, Callable[[Path], Iterator[Cell]]] = {
    "zeek_ssl": zeek_ssl,
    "zeek_x509": zeek_x509,
    "zeek_quic": zeek_quic,
    "ja4": ja4,
    "mercury": mercury,
    "ipfixprobe": ipfixprobe,
    "huginn": huginn,
    "tshark": tshark,
}


@cache
def cells(corpus: Path, source: str) -> list[Cell]:
    """The cells of one source; a second look at them audits nothing again."""
    return list(SOURCES[source](corpus))


@dataclass
class Count:
    """Cells of one source."""

    compared: int = 0
    equal: int = 0
    explained: int = 0
    wrong: int = 0


def compare(corpus: Path, source: str, answers: Any = None) -> tuple[dict[str, Count], list[Cell]]:
    """Counts by column, and the cells that are wrong; ``answers``: of another tshark."""
    counts: dict[str, Count] = defaultdict(Count)
    wrong = []
    for cell in cells(corpus, source) if answers is None else tshark(corpus, answers):
        count = counts[cell.column]
        count.compared += 1
        if cell.equal:
            count.equal += 1
        elif cell.explained:
            count.explained += 1
        else:
            count.wrong += 1
            wrong.append(cell)
    return counts, wrong


def main(given: list[str]) -> int:
    """Print the table; the exit code is 1 if a cell is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("sources", nargs="*", choices=[[], *SOURCES], metavar="SOURCE", help=", ".join(SOURCES))
    parser.add_argument("--tshark", type=Path, metavar="PROGRAM", help="compare with what this tshark says")
    options = parser.parse_args(given)
    root = Path(__file__).parent.parent
    corpus = Path(os.environ.get("AUDITOR_CORPUS", root.parent / "shared" / "corpus"))
    if not (corpus / "manifest.csv").exists():
        print(f"no corpus at {corpus}; set AUDITOR_CORPUS")
        return 2
    answers = None
    if options.tshark is not None:
        try:
            print(f"tshark: {tshark_answers.version(options.tshark)}")
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{options.tshark} cannot be run: {error}")
            return 2
        answers = tshark_answers.answers(options.tshark, corpus)
    print(f"{'source':12}{'column':24}{'compared':>10}{'equal':>10}{'explained':>10}{'wrong':>10}")
    total: Counter[str] = Counter()
    every: list[Cell] = []
    for source in options.sources or (SOURCES if answers is None else ["tshark"]):
        counts, wrong = compare(corpus, source, answers if source == "tshark" else None)
        every += wrong
        for column, count in counts.items():
            print(f"{source:12}{column:24}{count.compared:10}{count.equal:10}{count.explained:10}{count.wrong:10}")
            total.update(vars(count))
    print(f"{'all':36}" + "".join(f"{total[name]:10}" for name in ("compared", "equal", "explained", "wrong")))
    for cell in every:
        print(f"wrong: {cell.source} {cell.capture} {cell.column} {cell.who}: theirs {cell.theirs!r}, ours {cell.ours}")
    return int(bool(every))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
