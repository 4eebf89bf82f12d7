"""The command ``audit``: the only room that prints or parses options."""

import gc
import os
import sys


def main() -> None:
    """The command line, as ``auditor.cli.main``; a capture's digest begins before libraries are loaded."""
    from auditor.machine import search_path

    search_path.leave_working_directory()

    from auditor.audit.start import SWITCH_INTERVAL
    from auditor.capture import digest

    sys.setswitchinterval(SWITCH_INTERVAL)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's: nothing here needs them, and idle they spin
    gc.set_threshold(500_000)  # looking for cycles among what libraries leave takes a twentieth of an audit
    if sys.argv[1:2] == ["pcap"]:
        digest.begin_argument(sys.argv[2:])
    from auditor.cli.main import main as run

    run()
