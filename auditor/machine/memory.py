"""How much memory an audit may take, and how it is divided over what whoever prepares its input can make grow."""

import ctypes
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
STARTED = 240 * MIB  # what libraries, kernels and blocks being read take before anything grows
LEAST = 448 * MIB  # less would not hold a hello, a chain and a batch of flows of each kind at one time
# Parts of a hundred of what is left. Strings are copied where numbers are given out anew, so they are there twice.
FLOWS, STREAMS, STRINGS, BATCHES, FACTS, CERTIFICATES, SECRETS = 25, 12, 11, 25, 9, 7, 10
# Below such a ceiling malloc keeps no more than so many bytes of what is freed, by its options of mallopt(3).
TIGHT, KEPT = 2 << 30, 1 << 20
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
REQUESTS = 30  # of the same, while flows are opened: little else is there then
LOGS = 50  # hundredths that logs and routing tables have before all of these, where there are any


@dataclass(frozen=True, eq=False, repr=False)
class Ceiling:
    """The most memory that an audit may take, in bytes."""

    total: int
    logs: int = 0  # bytes of it that are for logs and routing tables

    def part(self, hundredths: int) -> int:
        """So many hundredths of what is left when everything is loaded."""
        return (self.total - self.logs - STARTED) * hundredths // 100


def ceiling(given: int | None = None, *, with_logs: bool = False) -> Ceiling:
    """The ceiling that was given, or half of what is free; never less than LEAST, nor more than the machine has."""
    total = max(LEAST, min(given, _installed()) if given is not None else free() // 2)
    return Ceiling(total, (total - STARTED) * LOGS // 100 if with_logs else 0)


@dataclass(eq=False, repr=False)
class Allowance:
    """The memory that is left for what several files are read into."""

    left: int = 1 << 62

    def most(self, factor: int) -> int:
        """Bytes of a file that fit if each becomes ``factor`` bytes of memory."""
        return self.left // factor

    def take(self, size: int) -> None:
        """Memory is taken, if not more than there is."""
        self.left = max(0, self.left - size)


def give_back() -> None:
    """Give the system back what is free between what is in use: malloc(3) keeps it, however much that is."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def spare(total: int) -> None:
    """For a process of its own that may take so many bytes: where these are few, what is freed is the system's again at once.

    malloc(3) would keep up to 64 MiB for each thread, the more the larger what was freed before, which saves some time.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if option is not None and total < TIGHT:
        for name in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            option(name, KEPT)


def free() -> int:
    """Bytes that this process could take: of the machine, of its control groups and of its own limit."""
    return min((_of_machine(), *_of_groups(), *_of_process()))


def _installed() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):  # another system than Linux
        pass
    return _installed() // 2


def _of_process() -> Iterator[int]:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft


def _of_groups(root: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What each control group of the process has left, its parents included (cgroups(7); memory of versions 1 and 2)."""
    try:
        lines = process.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        # Inside of a container the path may be that of the host, whose groups are not to be seen: then the top is its own.
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and used is not None:
                yield max(0, limit - used + _reclaimable(folder / "memory.stat"))


def _reclaimable(file: Path) -> int:
    """Bytes of files that a group counts as used, and the system gives back when memory is asked for."""
    try:
        rows = dict(line.split() for line in file.read_text(encoding="ascii").splitlines())
        return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none, as in «max»."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
