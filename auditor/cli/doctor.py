"""``audit doctor``: what is installed, what is missing, and what that means."""

import importlib.metadata
import platform
import sys
from pathlib import Path

from rich.text import Text

from auditor.cli.terminal import _grid, console
from auditor.machine import isolated, programs
from auditor.report.plain import printable

LIBRARIES = {
    "numpy": "arrays",
    "numba": "the kernels",
    "pyarrow": "tables and Parquet",
    "pandas": "tables in Python and Jupyter",
    "pydantic": "policy and topology files",
    "typer": "the command line",
    "rich": "terminal tables",
    "zstandard": "captures packed with zstd",
    "lz4": "captures packed with lz4",
    "scapy": "drill-down into packets; live capture where neither dumpcap nor tcpdump is installed",
    "pyshark": "requests inside TLS, with keys; drill-down with tshark",
    "cryptography": "certificates",
    "pylsqpack": "requests of HTTP/3 (extra http3)",
    "boto3": "audit topology fetch (extra aws)",
}
PROGRAMS = {
    "dumpcap": "live capture, the best way (package tshark or wireshark-common)",
    "tcpdump": "live capture without dumpcap",
    "tshark": "requests inside TLS, with keys; drill-down with pyshark",
}


def _program(name: str) -> Text:
    """The version of a program, or why there is none."""
    path = programs.find(name)
    if path is None:
        why = programs.refused(name)
        return Text(f"refused: {printable(why)}", style="red") if why else Text("missing", style="yellow")
    said = isolated.said([path, "--version"])
    if said is None:
        return Text("does not run", style="red")
    return Text(said.splitlines()[0][:60] if said else "no version", style="green")


def doctor() -> None:
    """Print what is there; nothing is changed."""
    from auditor.aws.ranges import Ranges
    from auditor.data import __version__
    from auditor.machine import kernel, objects

    out = console()
    out.print(f"auditor {__version__}, Python {sys.version.split()[0]}, {platform.platform()}")
    table = _grid("what", "found", "for", wide="for")
    for name, use in LIBRARIES.items():
        try:
            found = Text(importlib.metadata.version(name), style="green")
        except importlib.metadata.PackageNotFoundError:
            found = Text("missing", style="red")
        table.add_row(name, found, use)
    for name, use in PROGRAMS.items():
        table.add_row(name, _program(name), use)
    out.print(table)
    state = (
        "compiled and cached"
        if kernel.compiled_before()
        else "not compiled yet: the first audit takes half a minute more"
    )
    out.print(f"kernels: {state}, in {objects.cache_folder()}")
    ranges = Ranges.shipped()
    out.print(f"AWS address ranges: of {ranges.date} (sync token {ranges.token})")


def compare(path: Path) -> bool:
    """Print our tables beside tshark's answers; whether every cell is equal."""
    from auditor.audit.compare import compare as compared

    told = compared(path)
    out = console()
    out.print(f"{printable(path)}, compared with {printable(told.tshark)}")
    table = _grid("what", "compared", "equal", "different", right=("compared", "equal", "different"))
    for line in told.lines:
        other = line.compared - line.equal
        style = "red" if other else "green"
        table.add_row(line.what, f"{line.compared:,}", f"{line.equal:,}", Text(f"{other:,}", style=style))
    out.print(table)
    for note in told.notes:
        out.print(Text(printable(note), style="yellow"))
    for line in told.lines:
        for example in line.examples:
            out.print(Text(printable(f"{line.what}: {example}")))
    return told.is_equal
