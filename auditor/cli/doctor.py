"""``audit doctor``: what is installed, what is missing, and what that means."""

from pathlib import Path

from rich.text import Text

from auditor.audit.installed import Part, installation
from auditor.border.text import printable
from auditor.cli.terminal import console, emit, grid


def _state(part: Part, missing: str) -> Text:
    """The version of a part, else what is wrong with it."""
    if part.version is not None:
        return Text(printable(part.version), style="green")
    return Text(printable(part.problem), style="red") if part.problem else Text("missing", style=missing)


def doctor() -> None:
    """Print what is installed; nothing is changed."""
    out, here = console(), installation()
    out.print(here.versions)
    table = grid("what", "found", "for", wide=("found", "for"))
    for part in here.libraries:
        table.add_row(part.name, _state(part, missing="red"), part.use)
    for part in here.programs:
        table.add_row(part.name, _state(part, missing="yellow"), part.use)
    emit(out, table)
    state = "compiled and cached" if here.is_compiled else "not compiled yet: the first audit takes half a minute more"
    out.print(f"kernels: {state}, {here.kept}")
    out.print(f"AWS address ranges: {here.ranges}")


def compare(path: Path) -> bool:
    """Print our tables beside tshark's answers; whether every cell is equal."""
    from auditor.audit.compare import compare as compared

    comparison = compared(path)
    out = console()
    out.print(f"{printable(path)}, compared with {printable(comparison.tshark)}")
    table = grid("what", "compared", "equal", "different", right=("compared", "equal", "different"))
    for line in comparison.lines:
        other = line.compared - line.equal
        style = "red" if other else "green"
        table.add_row(line.what, f"{line.compared:,}", f"{line.equal:,}", Text(f"{other:,}", style=style))
    emit(out, table)
    for note in comparison.notes:
        out.print(Text(printable(note), style="yellow"))
    for line in comparison.lines:
        for example in line.examples:
            out.print(Text(printable(f"{line.what}: {example}")))
    return comparison.is_equal
