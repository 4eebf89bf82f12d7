"""Measures the auditor on large captures beside whatever peers are installed, in one run, as ratios.

    python -m benchmarks.run [CAPTURE_DIR]

CAPTURE_DIR (or AUDITOR_BENCH) holds small, bulk, handshakes and smallpkts.pcap. Where there is none, they are made by
the project's bench scripts beside the checkout. Whole processes, second run, files in the page cache, median of five.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
CAPTURES = ("small", "bulk", "handshakes", "smallpkts")
RUNS = 5
# Wall time as a multiple of tcpdump's, and seconds, that must not be exceeded.
BARS = {"bulk": (3, 1.0), "handshakes": (7, 2.5), "smallpkts": (3, 1.2), "small": (None, 1.0)}
PEERS = {
    "tcpdump": ["tcpdump", "-r", "{pcap}", "-w", "/dev/null"],
    "tshark": ["tshark", "-r", "{pcap}", "-Y", "tls.handshake.type==1", "-T", "fields", "-e", "frame.number"],
    "suricata": ["suricata", "-r", "{pcap}", "-l", "{out}", "--runmode=single"],
    "zeek": ["zeek", "-C", "-r", "{pcap}"],
}
SLOW_PEERS = {"tshark", "zeek"}  # measured once


@dataclass
class Measure:
    """Wall seconds (median) and peak memory of a command."""

    seconds: float
    megabytes: float


def measure(command: list[str], runs: int = RUNS, source: Path | None = None, repeat: int = 1) -> Measure:
    """Run a command; with ``source`` it reads ``repeat`` copies of that capture through a pipe."""
    times, peak = [], 0.0
    for _ in range(runs):
        feed = None
        if source is not None:
            # The file header once, then the records as often as asked for.
            script = f"cat {source}; for i in $(seq 2 {repeat}); do tail -c +25 {source}; done"
            feed = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        begin = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=feed.stdout if feed else None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, _, usage = os.wait4(child.pid, 0)
        times.append(time.perf_counter() - begin)
        peak = max(peak, usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024))
        if feed is not None:
            feed.wait()
    return Measure(statistics.median(times), peak)


def find_captures() -> Path:
    """The folder of large captures; made where it is missing."""
    told = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AUDITOR_BENCH")
    folder = Path(told) if told else Path(tempfile.gettempdir()) / "auditor-bench"
    if not all((folder / f"{name}.pcap").exists() for name in CAPTURES):
        maker = ROOT.parent / "shared" / "bench" / "make_captures.py"
        if not maker.exists():
            sys.exit(f"{folder}: no captures there, and no script to make them at {maker}")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, str(maker), str(folder), "all"], check=True)
    return folder


def main() -> None:
    folder = find_captures()
    audit = [str(Path(sys.executable).parent / "audit"), "pcap"]
    table = Table(title="whole process, files cached; the auditor's second run; median of five")
    for column in ("capture", "what", "seconds", "× tcpdump", "MiB", "bar"):
        table.add_column(column, justify="right" if column not in ("capture", "what") else "left")
    with tempfile.TemporaryDirectory() as out:
        measure([*audit, str(folder / "small.pcap"), "--out", out, "-q"], runs=1)  # compiles, where that was not done
        for name in CAPTURES:
            pcap = folder / f"{name}.pcap"
            rows = {}
            for peer, words in PEERS.items():
                if shutil.which(peer):
                    command = [word.format(pcap=pcap, out=out) for word in words]
                    rows[peer] = measure(command, 1 if peer in SLOW_PEERS else RUNS)
            rows["audit"] = measure([*audit, str(pcap), "--out", out, "-q"])
            base = rows["tcpdump"].seconds if "tcpdump" in rows else None
            for what, found in rows.items():
                ratio = f"{found.seconds / base:.1f}" if base else "-"
                times, seconds = BARS[name]
                bar = f"{f'{times} × or ' if times else ''}{seconds} s, 400 MiB" if what == "audit" else ""
                table.add_row(name, what, f"{found.seconds:.2f}", ratio, f"{found.megabytes:.0f}", bar)
        # In a process of its own: what this one has in memory would be counted to its children.
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.paths", str(folder)],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        judged = [*audit, str(folder / "handshakes.pcap"), "--out", out, "-q", *made.stdout.split()]
        found = measure(judged, 3)
        what = "handshakes, 1 M routes, 1 M rows of flow logs"
        table.add_row(what, "audit", f"{found.seconds:.2f}", "-", f"{found.megabytes:.0f}", "10 s, 2048 MiB")
        many = subprocess.run(  # made there too, for the same reason
            [sys.executable, "-m", "benchmarks.quic", str(folder)], check=True, capture_output=True, text=True, cwd=ROOT
        )
        found = measure([*audit, many.stdout, "--out", out, "-q"], 3)
        table.add_row("10,000 QUIC connections", "audit", f"{found.seconds:.2f}", "-", f"{found.megabytes:.0f}", "4 s")
        one = measure([*audit, "-", "--out", out, "-q"], 1, folder / "bulk.pcap")
        ten = measure([*audit, "-", "--out", out, "-q"], 1, folder / "bulk.pcap", 10)
        for what, found in (("bulk, pipe", one), ("10 × bulk, pipe", ten)):
            table.add_row(what, "audit", f"{found.seconds:.2f}", "-", f"{found.megabytes:.0f}", "within 10 %")
        helped = measure([audit[0], "--help"])
        table.add_row("audit --help", "audit", f"{helped.seconds:.2f}", "-", f"{helped.megabytes:.0f}", "0.3 s")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
