"""How costs grow with each thing that an adversary may put into captures, what is beside them, and results: exponents of CPU time.

    python -m benchmarks.growth [DIMENSION …]

Every dimension is measured with n, 2n and 4n parts, with the children that it takes, without what one part costs. An exponent
above 1.1 is a fault: four times the input takes more than four times the time.
"""

import resource
import shutil
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
from auditor.stores import client
from benchmarks import bombs, more_bombs

MOST = 1.1
STEPS = (1, 2, 4)
RUNS = 2  # of which the faster one counts
LEAST = 0.2  # seconds; what all parts cost together when their growth can be told from noise
Maker = Callable[[Path, int], Path]
Use = Callable[[Path, Path, Path], object]  # called with what was made, a small capture, and where results may go


def capture(given: Path, _: Path, out: Path) -> None:
    auditor.audit(given, out=out)


def topology(given: Path, small: Path, out: Path) -> None:
    auditor.audit(small, topology=given, out=out)


def routes(given: Path, small: Path, out: Path) -> None:
    auditor.audit(small, routes=[given], out=out)


def witness(given: Path, small: Path, out: Path) -> None:
    auditor.audit(small, witnesses=[given], out=out)


def key_log(given: Path, small: Path, out: Path) -> None:
    auditor.audit(small, keylog=given, out=out)


def listing(given: Path, small: Path, out: Path) -> None:
    del small, out
    with bombs.listed(given) as url:
        client.find(url)
        client.StoreChild._one = None  # noqa: SLF001 - it ends, so what it took counts


def load(given: Path, *_: Path) -> None:
    assert len(auditor.load(given).flows)


def report(given: Path, _: Path, out: Path) -> None:
    auditor.load(given).report(out)


def export(given: Path, _: Path, out: Path) -> None:
    auditor.Audit.load(given, say=lambda _: None).export("csv", out)  # rows in another order are no longer as written


def diff(given: Path, small: Path, out: Path) -> None:
    old = auditor.audit(small, out=out)
    old.diff(auditor.load(given))


def verify(given: Path, *_: Path) -> None:
    auditor.load(given).verify()


def judge(given: Path, _: Path, out: Path) -> None:
    auditor.judge(given, policy="pci-dss-4.0.1", all_traffic=True, out=out)


def taken() -> float:
    """Seconds of CPU that this process took, and those of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Dimension:
    """What there is more and more of: ``use`` is what is done with it."""

    make: Maker
    parts: int
    suffix: str = "pcap"
    use: Use = capture

    @property
    def name(self) -> str:
        """Its name: that of what makes it, or of what is done with results."""
        return self.use.__name__ if self.make in (bombs.results, bombs.shuffled_results) else self.make.__name__

    def cost(self, folder: Path, count: int, small: Path) -> float:
        """Seconds of CPU that ``count`` parts take."""
        given = self.make(folder / f"{self.name}-{count}.{self.suffix}", count)
        times = []
        for run in range(RUNS):
            begin = taken()
            self.use(given, small, folder / f"{self.name}-{count}-{run}")
            times.append(taken() - begin)
        if given.is_dir():
            shutil.rmtree(given)
        else:
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
    Dimension(more_bombs.announcements, 100_000),
    Dimension(more_bombs.neighbours, 50_000),
    Dimension(more_bombs.reuse, 50_000),
    Dimension(more_bombs.questions, 50_000),
    Dimension(more_bombs.dtls, 10_000),
    Dimension(more_bombs.requests, 2_000),
    Dimension(more_bombs.pipelined, 4_000),
    Dimension(more_bombs.fields, 10_000),
    Dimension(more_bombs.streams_of_http2, 500, "pcapng"),
    Dimension(more_bombs.continuations, 1_000, "pcapng"),
    Dimension(more_bombs.frames_of_http2, 50_000, "pcapng"),
    Dimension(more_bombs.archive, 1_000, "zip"),
    Dimension(more_bombs.mrt, 100_000, "mrt", routes),
    Dimension(bombs.interfaces, 8_000, "pcapng"),
    Dimension(bombs.secrets, 10_000, "pcapng"),
    Dimension(bombs.topology, 2_000, "toml", topology),
    Dimension(bombs.routes, 100_000, "json", routes),
    Dimension(bombs.flow_log_text, 200_000, "log.gz", witness),
    Dimension(bombs.flow_log_parquet, 400_000, "parquet", witness),
    Dimension(bombs.cloudtrail, 40_000, "json.gz", witness),
    Dimension(bombs.sensor, 60_000, "log.gz", witness),
    Dimension(bombs.key_log, 100_000, "log", key_log),
    Dimension(bombs.listing, 20_000, "html", listing),
    Dimension(bombs.results, 70_000, "results", load),
    Dimension(bombs.results, 20_000, "results", report),
    Dimension(bombs.shuffled_results, 20_000, "results", export),
    Dimension(bombs.results, 70_000, "results", diff),
    Dimension(bombs.results, 200_000, "results", verify),
    Dimension(bombs.results, 70_000, "results", judge),  # more than the names that are remembered from the audit
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
        small = bombs.names(folder / "small.pcap", 100)
        auditor.audit(small)  # loads all that is loaded once
        for one in wanted:
            start = one.cost(folder, 1, small)
            counts = [step * one.parts for step in STEPS]
            seconds = [one.cost(folder, count, small) - start for count in counts]
            power = exponent(counts, seconds) if seconds[-1] >= LEAST else 0.0
            worst = max(worst, power)
            words = f"{power:.2f}" if power else f"less than {LEAST} s"
            table.add_row(one.name, f"{one.parts:,}", *(f"{s:.2f}" for s in seconds), words)
    Console(width=110).print(table)
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
