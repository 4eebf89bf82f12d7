"""How the cost of an audit grows with each thing that an adversary may put into its input, as exponents of CPU time.

    python -m benchmarks.growth [DIMENSION …]

Every dimension is measured with n, 2n and 4n parts, in this process, without what an audit of one part costs. An exponent
above 1.1 is a fault: four times the input takes more than four times the time.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import auditor
from benchmarks import bombs

MOST = 1.1
STEPS = (1, 2, 4)
RUNS = 2  # of which the faster one counts
LEAST = 0.2  # seconds; what all parts cost together when their growth can be told from noise
Maker = Callable[[Path, int], Path]


@dataclass(frozen=True)
class Dimension:
    """What there is more and more of: ``option`` is how an audit is given it, None where it is the capture itself."""

    make: Maker
    parts: int
    suffix: str = "pcap"
    option: str | None = None

    @property
    def name(self) -> str:
        """Its name: that of what makes it."""
        return self.make.__name__

    def audited(self, folder: Path, count: int, capture: Path) -> float:
        """Seconds of CPU that an audit of ``count`` parts takes."""
        given = self.make(folder / f"{self.name}-{count}.{self.suffix}", count)
        times = []
        for run in range(RUNS):
            out = folder / f"{self.name}-{count}-{run}"
            begin = time.process_time()
            if self.option is None:
                auditor.audit(given, out=out)
            elif self.option == "topology":
                auditor.audit(capture, topology=given, out=out)
            elif self.option == "routes":
                auditor.audit(capture, routes=[given], out=out)
            else:
                auditor.audit(capture, witnesses=[given], out=out)
            times.append(time.process_time() - begin)
        given.unlink()
        return min(times)


DIMENSIONS = (
    Dimension(bombs.syns, 200_000),
    Dimension(bombs.syns_v6, 200_000),
    Dimension(bombs.datagrams, 200_000),
    Dimension(bombs.hellos, 300),
    Dimension(bombs.names, 20_000),
    Dimension(bombs.answers, 20_000),
    Dimension(bombs.chains, 2_000),
    Dimension(bombs.chain_of_one, 350),
    Dimension(bombs.names_of_one, 200),
    Dimension(bombs.streams, 10_000),
    Dimension(bombs.initials, 2_000),
    Dimension(bombs.positions, 20_000),
    Dimension(bombs.fragments, 20_000),
    Dimension(bombs.arps, 20_000),
    Dimension(bombs.bgp, 20_000),
    Dimension(bombs.interfaces, 8_000, "pcapng"),
    Dimension(bombs.secrets, 10_000, "pcapng"),
    Dimension(bombs.topology, 2_000, "toml", "topology"),
    Dimension(bombs.routes, 100_000, "json", "routes"),
    Dimension(bombs.flow_log_text, 200_000, "log.gz", "witnesses"),
    Dimension(bombs.flow_log_parquet, 400_000, "parquet", "witnesses"),
    Dimension(bombs.cloudtrail, 40_000, "json.gz", "witnesses"),
    Dimension(bombs.sensor, 60_000, "log.gz", "witnesses"),
)


def exponent(counts: Sequence[int], seconds: Sequence[float]) -> float:
    """The power of the count that the time grows with: the slope of a line through both logarithms."""
    slope, _ = np.polyfit(np.log(counts), np.log(np.maximum(seconds, 1e-3)), 1)
    return float(slope)


def main() -> None:
    wanted = [one for one in DIMENSIONS if one.name in sys.argv[1:] or len(sys.argv) == 1]
    table = Table(title="seconds of CPU by number of parts, without what one part takes")
    for column in ("dimension", "parts", *(f"× {step}" for step in STEPS), "exponent"):
        table.add_column(column, justify="left" if column == "dimension" else "right")
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        capture = bombs.names(folder / "small.pcap", 100)
        auditor.audit(capture)  # loads all that is loaded once
        for one in wanted:
            start = one.audited(folder, 1, capture)
            counts = [step * one.parts for step in STEPS]
            seconds = [one.audited(folder, count, capture) - start for count in counts]
            power = exponent(counts, seconds) if seconds[-1] >= LEAST else 0.0
            worst = max(worst, power)
            words = f"{power:.2f}" if power else f"less than {LEAST} s"
            table.add_row(one.name, f"{one.parts:,}", *(f"{s:.2f}" for s in seconds), words)
    Console(width=110).print(table)
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
