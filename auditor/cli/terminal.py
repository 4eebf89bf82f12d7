"""What a person reads at the terminal."""

import os
import re
import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from auditor.border import text
from auditor.border.words import counted, is_number

if TYPE_CHECKING:
    from auditor.policy.model import Policy
    from auditor.policy.pages import Page

SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "info": "dim"}
VERDICT_STYLE = {"fail": "red", "warn": "yellow", "pass": "green", "not_observable": "magenta", "not_applicable": "dim"}
COPIED = "Wireshark: "  # what is to be copied whole, so the terminal itself wraps it
HELD = "\ue000"  # a space at which no line ends, until it is printed
TOGETHER = re.compile(r"(?<=TLS|SSL) (?=\d)|(?<=\d) (?=%|(?:flow|packet|capture|request|handshake|fail)s?\b)| (?=·)")
STACKED = 100  # columns below which the title of a policy stands below its name
WIDTH = 120  # of what is no terminal, where COLUMNS does not say


class SafeConsole(Console):
    """A console on which whatever is printed is harmless, whoever wrote it; the colours are ours."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for held in super().render(renderable, options):
            segment = held if held.control else Segment(held.text.replace(HELD, " "), held.style)
            is_text = not segment.control and not text.is_harmless(segment.text)
            yield Segment(text.lines(segment.text), segment.style) if is_text else segment


def console() -> Console:
    """Standard output; as wide as COLUMNS says where it is no terminal. NO_COLOR leaves no escape sequence at all."""
    colours: Any = None if os.environ.get("NO_COLOR") else "auto"
    plain = SafeConsole(highlight=False, emoji=False, markup=False, color_system=colours)
    if plain.is_dumb_terminal:  # of which rich believes that it has 80 columns, whatever it says
        from shutil import get_terminal_size

        plain.size = ConsoleDimensions(*get_terminal_size())
    if plain.is_terminal:
        return plain
    columns = os.environ.get("COLUMNS", "")
    width = max(20, int(columns)) if is_number(columns) else WIDTH
    return SafeConsole(highlight=False, emoji=False, markup=False, color_system=colours, width=width)


def together(words: str) -> str:
    """Words of which no line ends between a number and what it counts, nor within the name of a version."""
    return TOGETHER.sub(HELD, words)


def lines(out: Console, what: RenderableType) -> list[str]:
    """What would be printed, line by line, without the spaces that fill a table's last column."""
    with out.capture() as taken:
        out.print(what)
    return [line.rstrip() for line in taken.get().splitlines()]


def emit(out: Console, what: RenderableType) -> None:
    """Print it."""
    write_lines(lines(out, what))


def write_lines(*some: Iterable[str]) -> None:
    """Print lines of ``lines``."""
    sys.stdout.write("".join(f"{line}\n" for line in chain.from_iterable(some)))


def wrapped(words: str, width: int) -> list[str]:
    """Words on lines of so many columns; what is longer than a line is parted."""
    return [line.plain.rstrip() for line in Text(words).wrap(Console(width=width), width)] or [""]


def write(written: str) -> None:
    """Print what consists of lines: whole where it is piped, wrapped and hanging on a terminal."""
    out = console()
    if not out.is_terminal:
        sys.stdout.write(written)
        return
    for line in written.splitlines():
        if line.startswith(COPIED):
            sys.stdout.write(f"{line}\n")
            continue
        indent = len(line) - len(line.lstrip())
        first, *rest = wrapped(line.lstrip(), max(out.width - indent - 2, 8))
        emit(out, Text("\n".join([" " * indent + first, *(" " * (indent + 2) + more for more in rest)])))


def grid(*headers: str, right: tuple[str, ...] = (), wide: str | tuple[str, ...] | None = None) -> Table:
    """A table; columns that are ``wide`` share the room that others leave, and are folded."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    folded = wide if isinstance(wide, tuple) else (wide,)
    for header in headers:
        table.add_column(
            header,
            justify="right" if header in right else "left",
            no_wrap=header not in folded,
            overflow="fold",
            ratio=1 if header in folded else None,
        )
    return table


def show_verified(verified: list[tuple[str, bool | None, str]]) -> None:
    """Which files are unchanged, and which are not."""
    out, table = console(), grid("file", "", "why", wide=("file", "why"))
    for name, same, why in verified:
        word, style = {True: ("same", "green"), False: ("CHANGED", "bold red"), None: ("?", "yellow")}[same]
        table.add_row(text.printable(name), Text(word, style=style), text.printable(why))
    emit(out, table)


def show_policies(policies: "list[Policy]") -> None:
    """Policies, a line each."""
    out = console()
    table = grid("policy", "edition", "rules", "title", right=("rules",), wide="title")
    for policy in policies:
        name = Text(policy.id, style="bold")
        if out.width < STACKED:
            emit(out, Text.assemble(name, f"  {policy.edition}, {counted(len(policy.rule), 'rule')}"))
            emit(out, Padding(Text(policy.title), (0, 0, 0, 2)))
        else:
            table.add_row(name, policy.edition, str(len(policy.rule)), policy.title)
    if out.width >= STACKED:
        emit(out, table)
    emit(out, Text("audit policy show POLICY lists its rules, audit rule CODE explains one.", style="dim"))


def show_policy(policy: "Policy", pages: "list[Page]") -> None:
    """A policy: its source, rules and exceptions."""
    out = console()
    emit(out, Text.assemble((policy.id, "bold"), f" {policy.title}, edition {policy.edition}"))
    emit(out, Text(f"source: {policy.source} (retrieved {policy.retrieved})", style="dim"))
    if policy.extends:
        emit(out, Text(f"extends {', '.join(policy.extends)}", style="dim"))
    table = grid("rule", "severity", "must", "about", "holds", "title", wide="title")
    for page in pages:
        rule = page.rule
        table.add_row(
            rule.code, Text(rule.severity, style=SEVERITY_STYLE[rule.severity]), "yes" if rule.required else "warn",
            rule.applies_to, page.holds, rule.title,
        )  # fmt: skip
    emit(out, table)
    for one in policy.exception:
        emit(out, Text(f"exception: {text.printable(one.words)}", style="yellow"))


def show_rule(page: "Page") -> None:
    """A rule's page."""
    out, rule = console(), page.rule
    emit(out, Text(f"{rule.code}: {rule.title}", style="bold"))
    must = "a failure" if rule.required else "a warning"
    holds = "" if page.holds == "always" else f", holds {page.holds}"
    emit(out, Text(f"policy {page.policy}, severity {rule.severity}, not met: {must}{holds}", style="dim"))
    for head, body in (("What", rule.what), ("Why", rule.why), ("How to fix", rule.fix), ("Source", page.source)):
        emit(out, Text(f"\n{head}", style="bold"))
        emit(out, Text(body))
        if head == "How to fix":
            for place, way in page.ways.items():
                emit(out, Text.assemble((f"{place}: ", "bold"), way))
