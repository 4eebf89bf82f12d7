"""tshark, started with least rights.

It is found where only the system's owner puts programs, and has nobody's settings, no network, and the dissectors of
no more protocols than are asked for.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from auditor.errors import InputError
from auditor.machine import confined, isolated, programs

NO_TSHARK = "tshark, which opens TLS, is not installed: apt-get install tshark (Debian, Ubuntu), brew install wireshark"
SETTINGS = {"WIRESHARK_CONFIG_DIR": isolated.NO_HOME, "LC_ALL": "C.UTF-8"}  # nobody's, and no plugins but the system's
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
    output = _output_of(path, "--version") if path is not None else None
    return output.splitlines()[0] if output else None


def ask(path: str) -> None:
    """Begin to ask what ``version`` and ``restricted`` will need: starting takes tshark a seventh of a second each time."""
    _asked(path, "--version")
    _asked(path, "-G", "protocols")


@cache
def _asked(path: str, *question: str) -> Future[str | None]:
    """What a tshark says; one that is installed says the same each time."""
    thread = ThreadPoolExecutor(1)
    answer = thread.submit(isolated.output_of, [path, *question])
    thread.shutdown(wait=False)
    return answer


def _output_of(path: str, *question: str) -> str | None:
    output = _asked(path, *question).result()
    if output is None:  # it may run next time
        _asked.cache_clear()
    return output


def command(path: str, *arguments: str) -> list[str]:
    """The command line of a confined tshark, which asks no name server (``-n``)."""
    return isolated.script(confined.__file__, "0", path, "-n", *arguments)


def restricted(path: str) -> list[str]:
    """Options by which tshark dissects nothing but the protocols needed. Raises InputError where it does not list them.

    Each other one is named: ``--disable-all-protocols`` and ``--only-protocols`` came later than Debian 12's tshark 4.0.
    """
    return [part for name in _others(path) for part in ("--disable-protocol", name)]


@cache
def _others(path: str) -> tuple[str, ...]:
    """The protocols that are not needed, by their names in filters, the third column of tshark's list."""
    listed = (_output_of(path, "-G", "protocols") or "").splitlines()
    names = {cells[2] for line in listed if len(cells := line.split("\t")) > 2}
    if "tcp" not in names:  # a list that cannot be read would leave every dissector on
        raise InputError(f"{path} does not list its protocols, so they cannot be switched off: it is not used")
    return tuple(sorted(names - PROTOCOLS))
