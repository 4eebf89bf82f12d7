"""Inputs for measuring paths: a full routing table, a million rows of flow logs about the capture's flows, a site."""

import random
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROUTES = ROWS = 1_000_000
# Shares of prefix lengths about as in the internet's table.
LENGTHS = [24, 24, 24, 24, 23, 22, 21, 20, 19, 16]
HOPS = ("192.0.2.1", "192.0.2.2")
FIELDS = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status "
    "pkt-srcaddr pkt-dstaddr flow-direction traffic-path encryption-status"
)
SITE = f"""
[site]
name = "bench"
on_premises = "10.0.0.0/8"
[[virtual_interface]]
name = "dx"
vlan = 101
peer_address = "{HOPS[0]}"
[[uplink]]
name = "isp"
vlan = 200
peer_address = "{HOPS[1]}"
"""


def _record(subtype: int, body: bytes) -> bytes:
    return struct.pack(">IHHI", 1_700_000_000, 13, subtype, len(body)) + body


def _dump() -> bytes:
    """A TABLE_DUMP_V2 whose routes nearly all have AS paths of their own."""
    chance = random.Random(1)
    peer = b"\x02" + bytes([1, 1, 1, 1, 192, 0, 2, 1]) + struct.pack(">I", 65001)
    parts = [_record(1, bytes([1, 2, 3, 4, 0, 0, 0, 1]) + peer)]
    seen: set[tuple[int, int]] = set()
    while len(seen) < ROUTES:
        length = chance.choice(LENGTHS)
        network = chance.getrandbits(32) >> (32 - length) << (32 - length)
        if (network, length) in seen:
            continue
        seen.add((network, length))
        path = [65001, *(chance.randrange(1000, 66000) for _ in range(chance.randrange(1, 5)))]
        hop = bytes([192, 0, 2, 1 + (chance.random() < 0.1)])
        attributes = b"\x40\x01\x01\0" + bytes([0x40, 2, 2 + 4 * len(path), 2, len(path)])
        attributes += b"".join(struct.pack(">I", n) for n in path) + b"\x40\x03\x04" + hop
        body = struct.pack(">IB", len(seen), length) + network.to_bytes(4, "big")[: (length + 7) // 8]
        parts.append(_record(2, body + struct.pack(">HHIH", 1, 0, 1_700_000_000, len(attributes)) + attributes))
    return b"".join(parts)


def _log(truth: Path) -> str:
    """Rows of which half are about flows of the capture, and half about others of its hosts."""
    chance = np.random.default_rng(1)
    flows = pd.read_parquet(truth)
    flows = flows.iloc[chance.integers(0, len(flows), ROWS)]
    start = (flows["first_us"] // 1_000_000).to_numpy()
    ports = np.where(chance.random(ROWS) < 0.5, flows["sport"].to_numpy(), chance.integers(1024, 65535, ROWS))
    columns = (flows[name].tolist() for name in ("src", "dst", "dport", "proto"))
    rows = [
        f"11 123456789012 eni-1 {s} {d} {p} {q} {n} 10 2000 {t} {t + 60} ACCEPT OK {s} {d} egress 3 2"
        for s, d, q, n, p, t in zip(*columns, ports.tolist(), start.tolist(), strict=True)
    ]
    return "\n".join([FIELDS, *rows]) + "\n"


def options(folder: Path) -> list[str]:
    """Options of ``audit pcap`` for the inputs beside ``handshakes.pcap``, which are generated where they are missing."""
    dump, log, site = folder / "paths.mrt", folder / "paths.flow.log", folder / "paths.toml"
    site.write_text(SITE)
    if not dump.exists():
        dump.write_bytes(_dump())
    if not log.exists():
        log.write_text(_log(folder / "handshakes.truth.parquet"))
    return ["--topology", str(site), "--routes", str(dump), "--witness", str(log)]


if __name__ == "__main__":
    sys.stdout.write(" ".join(options(Path(sys.argv[1]))))
