"""Measures what SECURITY.md promises: memory for each flow and hello that is open, processor time for each byte.

    python -m benchmarks.bounds

Each number is the difference between an input and one of twice its size, so what an audit takes anyway does not count.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests import wire

MOMENT = 1_700_000_000 * wire.SECOND
NAME = "n00000000.example.com"
COUNT = 50_000
BULK_BYTES = 1400


def _row(packets: list[bytes]) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    """The records of one connection, all at one moment."""
    stamped = [(MOMENT, packet) for packet in packets]
    return np.frombuffer(wire.pcap(stamped)[24:], np.uint8)


def capture(packets: list[bytes], count: int, client: str) -> bytes:
    """``count`` connections that differ in the client's address and, where there is one, the hello's name."""
    row = _row(packets)
    rows = np.tile(row, (count, 1))
    numbers = np.arange(count, dtype=">u4")
    address = bytes(map(int, client.split(".")))
    whole = row.tobytes()
    changed = numbers + np.uint32(int.from_bytes(address, "big") & 0xFF000000)
    digits = np.char.mod("%08x", numbers.astype(np.int64)).astype("S8").view(np.uint8).reshape(count, 8)
    at = whole.find(address)
    while at >= 0:
        rows[:, at : at + 4] = changed.astype(">u4").view(np.uint8).reshape(count, 4)
        at = whole.find(address, at + 4)
    at = whole.find(NAME.encode())
    if at >= 0:
        rows[:, at + 1 : at + 9] = digits
    return wire.pcap([])[:24] + rows.tobytes()


def used(path: Path) -> tuple[int, float]:
    """Peak memory in bytes, and seconds of processor time, of an audit."""
    command = [sys.executable, "-m", "auditor", "pcap", str(path), "-q", "--out", str(path.with_suffix(".out"))]
    child = subprocess.Popen(command, cwd=path.parent)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{path.name}: the audit failed")
    return usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print a line for each kind of input."""
    client = "10.11.12.13"
    opened = wire.Talk(client=client).open()
    hello = wire.record(22, wire.client_hello(NAME))
    kinds = {
        "SYN": wire.Talk(client=client).open().packets[:1],
        "ClientHello": [*opened.packets, wire.Talk(client=client).send(0, hello, at=1001)],
        "bulk": [*opened.packets, *wire.Talk(client=client).open().play([("s", bytes(40 * BULK_BYTES))]).packets[3:]],
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind, packets in kinds.items():
            results = []
            for times in (1, 2):
                count = times * COUNT // (50 if kind == "bulk" else 1)
                path = Path(folder) / f"{kind}{times}.pcap"
                path.write_bytes(capture(packets, count, client))
                results.append((count, path.stat().st_size, *used(path)))
            (count, size, memory, seconds), (more, larger, peak, longer) = results
            each, rate = (peak - memory) / (more - count), (longer - seconds) / (larger - size) * 1e9
            kept = "" if kind == "bulk" else f"{each:,.0f} bytes of memory each, "
            sys.stdout.write(f"{kind}: {kept}{rate:.1f} ns of processor time a byte\n")


if __name__ == "__main__":
    main()
