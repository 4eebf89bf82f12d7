"""tshark, started with least rights.

It is found where only the system's owner puts programs, and has nobody's settings, no network, and the dissectors of
no more protocols than are asked for.
"""

import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

from auditor.errors import InputError
from auditor.machine import confined, isolated, programs
from auditor.requests import tshark_kept
from auditor.requests.tshark_kept import Build

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_TSHARK = "tshark, which opens TLS, is not installed: apt-get install tshark (Debian, Ubuntu), brew install wireshark"
SETTINGS = {"WIRESHARK_CONFIG_DIR": isolated.NO_HOME, "LC_ALL": "C.UTF-8"}  # nobody's, and no plugins but the system's
# A file without a name that a process inherited. Those of a parent cannot be opened across user namespaces.
OPEN = "/proc/self/fd"
# What the packets that ``cut`` writes can hold that requests are read from.
PROTOCOLS = frozenset({"frame", "raw", "ip", "tcp", "udp", "tls", "quic", "http", "http2", "smtp", "urlencoded-form"})


def program() -> str | None:
    """The path of tshark; None where it is not installed, or is refused."""
    return programs.find("tshark")


def missing() -> str:
    """Why there is no tshark, and what to do."""
    why = programs.refused("tshark")
    return NO_TSHARK if why is None else f"tshark, which opens TLS, is not used: {why}"


def version() -> str | None:
    """The first line of what ``tshark --version`` says."""
    path = program()
    return _described(path).version if path is not None else None


def prepare() -> None:
    """Know what ``version`` and ``restricted`` need, from where this user keeps it; what is not kept yet is asked, once."""
    path = program()
    if path is not None and (tshark_kept.recalled(path) is not None or tshark_kept.is_possible(path)):
        _described(path)


def ask(path: str) -> None:
    """Begin to ask what ``version`` and ``restricted`` will need: starting takes tshark a seventh of a second each time."""
    _asked(path)


def is_known(path: str) -> bool:
    """Whether that was asked and answered."""
    return _asked(path).done()


@cache
def _asked(path: str) -> Future[Build]:
    """What a tshark says of itself; one that is installed says the same each time."""
    kept = tshark_kept.recalled(path)
    if kept is not None:
        answer: Future[Build] = Future()
        answer.set_result(kept)
        return answer
    thread = ThreadPoolExecutor(1)
    answer = thread.submit(_answer, path)
    thread.shutdown(wait=False)
    return answer


def _answer(path: str) -> Build:
    with ThreadPoolExecutor(1) as other:
        version = other.submit(isolated.output_of, [path, "--version"])
        listed = (isolated.output_of([path, "-G", "protocols"]) or "").splitlines()
        first = (version.result() or "").splitlines()[:1]
    names = [cells[2] for line in listed if len(cells := line.split("\t")) > 2]  # as filters name them
    described = Build(first[0] if first else None, tuple(sorted(set(names))))
    if described.is_whole:
        tshark_kept.keep(path, described)
    return described


def _described(path: str) -> Build:
    described = _asked(path).result()
    if not described.is_whole:  # it may run next time
        _asked.cache_clear()
    return described


def command(path: str, *arguments: str) -> list[str]:
    """The command line of a confined tshark, which asks no name server (``-n``)."""
    return isolated.script(confined.__file__, "0", path, "-n", *arguments)


def start(
    path: str, *arguments: str, stdin: int, files: "Sequence[int]", is_confined: bool = False
) -> "subprocess.Popen[bytes]":
    """Start a confined tshark that gives what it dissects as PDML; it inherits ``files``.

    ``is_confined``: this process is, and with it whatever it starts.
    """
    pdml = ("-l", "-T", "pdml", *arguments)
    return isolated.start(
        [path, "-n", *pdml] if is_confined else command(path, *pdml),
        SETTINGS,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=files,
    )


def restricted(path: str) -> list[str]:
    """Options by which tshark dissects nothing but the protocols needed. Raises InputError where it does not list them.

    Each other one is named: ``--disable-all-protocols`` and ``--only-protocols`` came later than Debian 12's tshark 4.0.
    """
    described = _described(path)
    if not described.is_whole:  # a list that cannot be read would leave every dissector on
        raise InputError(f"{path} does not list its protocols, so they cannot be switched off: it is not used")
    return [part for name in described.protocols if name not in PROTOCOLS for part in ("--disable-protocol", name)]
