"""What any tshark says of the corpus, in the form of the answers that come with it: ``make conformance TSHARK=PROGRAM``.

The corpus has the answers of the tshark that it was made with (4.0). Whoever has another one, of Wireshark 4.4 say,
compares with that: what it dissects and the older one did not shows as cells that are wrong or explained.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

HELLOS = "tls.handshake.type in {1,2} || dtls.handshake.type in {1,2}"
ENDS = [f"{layer}.{end}" for layer in ("ip", "ipv6") for end in ("src", "dst")]
ENDS += [f"{layer}.{end}" for layer in ("tcp", "udp") for end in ("srcport", "dstport")]
OF_HELLO = {
    "hs_types": "type",
    "sni": "extensions_server_name",
    "ciphersuite": "ciphersuite",
    "ja3": "ja3",
    "ja3s": "ja3s",
}
LAYERS = ("tls", "dtls")
FIELDS = [
    "frame.number",
    "frame.protocols",
    *ENDS,
    *(f"{one}.handshake.{name}" for one in LAYERS for name in OF_HELLO.values()),
]
LONGEST = 600  # seconds for one capture


def version(program: Path) -> str:
    """The first line of what a tshark says of itself."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return told.splitlines()[0]


def innermost(protocols: list[str], pair: tuple[str, str]) -> str | None:
    """Which of two layers is the last one in a frame; None if neither is there."""
    there = [name for name in protocols if name in pair]
    return there[-1] if there else None


def rows(line: str) -> Iterator[dict[str, str | None]]:
    """The hellos of a frame by tshark's line of fields: one row for each layer that has some."""
    said = dict(zip(FIELDS, line.split("\t"), strict=True))
    protocols = said["frame.protocols"].split(":")
    network, transport = innermost(protocols, ("ip", "ipv6")), innermost(protocols, ("tcp", "udp"))
    ends: dict[str, str | None] = {}
    for name, layer, field in (
        ("src", network, "src"),
        ("dst", network, "dst"),
        ("sport", transport, "srcport"),
        ("dport", transport, "dstport"),
    ):
        ends[name] = said[f"{layer}.{field}"].split(",")[-1] if layer else None
    for layer in LAYERS:
        hello = {name: said[f"{layer}.handshake.{field}"] or None for name, field in OF_HELLO.items()}
        if hello["hs_types"]:
            proto = "quic" if layer == "tls" and "quic" in protocols else layer
            yield {"frame": said["frame.number"], "proto": proto, **ends, **hello}


def of_capture(program: Path, path: Path, settings: str) -> list[dict[str, str | None]]:
    """What a tshark with no settings of a user's says of a capture; nothing of one that it cannot read."""
    command = [
        str(program),
        "-n",
        "-r",
        str(path),
        "-Y",
        HELLOS,
        "-T",
        "fields",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator=,",
    ]
    for field in FIELDS:
        command += ["-e", field]
    told = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LONGEST,
        check=False,
        env=os.environ | {"WIRESHARK_CONFIG_DIR": settings},
    )
    return [row for line in told.stdout.splitlines() for row in rows(line)]


def answers(program: Path, corpus: Path) -> Any:
    """The hellos of all captures of the corpus of which any tool has an answer, as columns of text."""
    listed = [pd.read_csv(path, dtype=str) for path in sorted((corpus / "expected").glob("*.csv"))]
    named = pd.concat([one[["source", "pcap"]] for one in listed if "pcap" in one]).drop_duplicates()
    captures = list(zip(named["source"], named["pcap"], strict=True))
    with tempfile.TemporaryDirectory() as settings, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda one: of_capture(program, corpus / one[0] / one[1], settings), captures)
        told = [
            {"source": one[0], "pcap": one[1], **row}
            for one, several in zip(captures, found, strict=True)
            for row in several
        ]
    return pd.DataFrame(
        told, columns=["source", "pcap", "frame", "proto", "src", "sport", "dst", "dport", *OF_HELLO], dtype="object"
    )
