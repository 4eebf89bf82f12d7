"""``python -m tests.fuzz``: every target in turn, until so many executions are done; ``make fuzz`` runs it for hours.

Each target has the same processor time, so those that are fast are executed more often. What crashes is kept below
``tests/fuzz/kept`` and told; exit code 1 where there was any.
"""

import argparse
import sys
import time
from collections import Counter

from tests.fuzz.loop import KEPT, Crash, run
from tests.fuzz.targets import TARGETS

TURN = 3.0  # seconds of processor time of a target before the next one's turn
EVERY = 60.0  # seconds between two lines
FIRST, MOST = 20, 50_000  # executions of a turn: the first one, and at most


def keep(crash: Crash, known: set[str]) -> None:
    """Keep an input, one for each place that something was raised at."""
    place = crash.what.strip().splitlines()[-4:]
    if (key := "\n".join(place)[:400]) in known:
        return
    known.add(key)
    (KEPT / crash.target).mkdir(parents=True, exist_ok=True)
    (KEPT / crash.target / crash.name).write_bytes(crash.data)
    sys.stdout.write(f"--- {crash.target}/{crash.name}\n{crash.what}\n")


def tell(done: Counter[str], known: set[str]) -> None:
    """Say in a line what was executed until now."""
    each = " ".join(f"{name}:{count}" for name, count in done.items())
    sys.stdout.write(f"{time.strftime('%H:%M')} {done.total():,} executions, {len(known)} places that crash; {each}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--executions", type=int, help="in all; without it, minutes count")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("targets", nargs="*", help="names, or beginnings of names; all without")
    asked = parser.parse_args()
    names = [name for name in TARGETS if not asked.targets or name.startswith(tuple(asked.targets))]
    end, seed, done, told = time.monotonic() + asked.minutes * 60, asked.seed, Counter[str](), time.monotonic()
    counts = dict.fromkeys(names, FIRST)
    known: set[str] = set()
    while (done.total() < asked.executions) if asked.executions is not None else (time.monotonic() < end):
        seed += 1
        for name in names:
            count, begin = counts[name], time.process_time()
            for crash in run(name, count, seed):
                keep(crash, known)
            done[name] += count
            counts[name] = max(1, min(MOST, int(count * TURN / max(time.process_time() - begin, 1e-3))))
            if time.monotonic() > told + EVERY:
                told = time.monotonic()
                tell(done, known)
    sys.stdout.write("".join(f"{count:>10,} {name}\n" for name, count in done.items()))
    sys.stdout.write(f"{done.total():>10,} executions, {len(known)} places that crash; seed {asked.seed}\n")
    return 1 if known else 0


if __name__ == "__main__":
    raise SystemExit(main())
