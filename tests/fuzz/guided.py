"""``python -m tests.fuzz.guided``: fuzzing guided by coverage, with atheris, of the kernels as plain Python.

Inputs grow from the seeds of a target and from what reached code that no other did. Each target runs in a process of its
own, since libFuzzer ends its process at the first crash; that input is kept below ``tests/fuzz/kept``.
"""

import argparse
import importlib
import importlib.util
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

SEEDS = 20  # inputs that a target begins with
LONGEST = 1 << 16  # bytes of an input
PROGRAMS = {"auditor.machine.child", "auditor.requests.worker", "auditor.capture.raw_socket", "auditor.__main__"}


def guide(name: str, rest: list[str]) -> None:
    """Fuzz one target until libFuzzer's own arguments end it."""
    import atheris

    with atheris.instrument_imports(include=["auditor"]):
        import auditor

        for module in pkgutil.walk_packages(auditor.__path__, "auditor."):
            if module.name not in PROGRAMS:
                importlib.import_module(module.name)
    from tests.fuzz.loop import KEPT, execute, folder, watched
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    with watched(), folder() as work, tempfile.TemporaryDirectory() as corpus:
        for number in range(SEEDS):
            Path(corpus, str(number)).write_bytes(target.make(Random(number)))

        def one(data: bytes) -> None:
            crash = execute(name, target, data, work)
            if crash is not None:
                (KEPT / name).mkdir(parents=True, exist_ok=True)
                (KEPT / name / crash.name).write_bytes(data)
                raise AssertionError(crash.what)

        atheris.Setup([sys.argv[0], f"-max_len={LONGEST}", "-rss_limit_mb=4096", *rest, corpus], one)
        atheris.Fuzz()


def main() -> int:
    """Each target for the same time; 1 where one of them crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--one", action="store_true", help="in this process; further arguments are libFuzzer's")
    parser.add_argument("targets", nargs="*", help="names; all without")
    asked, rest = parser.parse_known_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write("atheris is not installed: inputs are made by their structure alone (python -m tests.fuzz)\n")
        return 0
    if asked.one:
        guide(asked.targets[0], rest)
    from tests.fuzz.targets import TARGETS

    names = asked.targets or list(TARGETS)
    seconds = max(1, int(asked.minutes * 60 / len(names)))
    failed = []
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz.guided", "--one", name, f"-max_total_time={seconds}"]
        if subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=False).returncode:
            failed.append(name)
    sys.stdout.write(f"crashed: {', '.join(failed) or 'none'}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
