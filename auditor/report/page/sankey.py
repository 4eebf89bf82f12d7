"""The diagram of paths as shapes: client networks, paths and services, and strands in the colours of verdicts between them."""

import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from auditor.report.charts import Strand, is_rest
from auditor.tables.value_sets import PATHS, VERDICTS

WIDTH = 1100
COLUMNS = (236.0, 545.0, 852.0)  # left edges of the nodes
NODE = 12.0
LINE = 17.0  # of text
LETTER = 7.2  # how wide a letter is, and a little more
GAP = 12.0  # between nodes
WANTED = 300.0  # height of all strands together …
WANTED_EACH = 75.0  # … where there are few nodes of each column
THINNEST = 1.5
LONGEST = (28, 34, 28)  # letters of a line of a label, by column
MOST_LINES = 3


class Band(NamedTuple):
    """A strand between two nodes."""

    outline: str  # of an SVG path
    verdict: str
    flows: int
    ends: tuple[str, str]
    column: int  # 0: from a client network to a path; 1: on to a service


class Node(NamedTuple):
    """A client network, a path or a service."""

    name: str
    lines: list[str]  # of its label: the name, and how many flows
    x: float
    y: float
    height: float
    column: int


class Diagram(NamedTuple):
    """All of it, and how high it is."""

    nodes: list[Node]
    bands: list[Band]
    height: float


@dataclass
class _Place:
    """A node while it is laid out: where the next strand on either side begins."""

    top: float
    height: float
    left: float = 0.0
    right: float = 0.0


def layout(strands: Sequence[Strand]) -> Diagram:
    """Lay the diagram out: nodes of each column below each other, strands as thick as they have flows."""
    total = sum(strand.flows for strand in strands) or 1
    bands = [_summed((s.client, s.way, s.verdict, s.flows) for s in strands)]
    bands.append(_summed((s.way, s.service, s.verdict, s.flows) for s in strands))
    orders = _orders(strands)
    wanted = min(WANTED, WANTED_EACH * max(map(len, orders)))

    def thickness(flows: int) -> float:
        return max(THINNEST, flows * wanted / total)

    sizes: list[dict[str, list[float]]] = [defaultdict(lambda: [0.0, 0.0]) for _ in COLUMNS]
    for column, of_column in enumerate(bands):
        for (source, target, _), flows in of_column.items():
            sizes[column][source][1] += thickness(flows)
            sizes[column + 1][target][0] += thickness(flows)
    labels = [
        {name: label(name, _flows(strands, k, name), LONGEST[k]) for name in orders[k]} for k in range(len(COLUMNS))
    ]
    places = [_column(labels[k], sizes[k], above=k == 1) for k in range(len(COLUMNS))]
    height = max((place.top + place.height for column in places for place in column.values()), default=0.0)
    _centre(places, height)
    drawn = []
    for column, of_column in enumerate(bands):
        drawn += _drawn(column, of_column, orders, places, thickness)
    nodes = [
        Node(name, labels[k][name], COLUMNS[k], round(place.top, 1), round(place.height, 1), k)
        for k, column in enumerate(places)
        for name, place in column.items()
    ]
    return Diagram(nodes, drawn, round(height + GAP, 1))


def _summed(links: Iterable[tuple[str, str, str, int]]) -> dict[tuple[str, str, str], int]:
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for source, target, verdict, flows in links:
        sums[source, target, verdict] += flows
    return sums


def _flows(strands: Sequence[Strand], column: int, name: str) -> int:
    return sum(strand.flows for strand in strands if strand[column] == name)


def _orders(strands: Sequence[Strand]) -> list[dict[str, int]]:
    """Paths from private to public, and what is beside them in the order that crosses least."""
    paths = [*(path for path in PATHS if path not in ("unknown", "internet")), "unknown", "internet"]
    path_of = {strand.way: strand.path for strand in strands}
    ways = sorted(path_of, key=lambda way: (paths.index(path_of[way]), way))
    middle = {way: number for number, way in enumerate(ways)}

    def beside(column: int) -> dict[str, int]:
        weights: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for strand in strands:
            weights[str(strand[column])][0] += middle[strand.way] * strand.flows
            weights[str(strand[column])][1] += strand.flows
        ordered = sorted(
            weights, key=lambda name: (is_rest(name), weights[name][0] / weights[name][1], -weights[name][1], name)
        )
        return {name: number for number, name in enumerate(ordered)}

    return [beside(0), middle, beside(2)]


def _column(labels: dict[str, list[str]], sizes: dict[str, list[float]], *, above: bool) -> dict[str, _Place]:
    """The nodes of a column from the top, with room for their labels: ``above`` them, or beside."""
    places, y = {}, 0.0
    for name, lines in labels.items():
        height, label = max(sizes[name]), LINE * len(lines)
        y += label if above else 0.0
        room = height if above else max(height, label)
        places[name] = _Place(y + (room - height) / 2, height)
        y += room + GAP
    return places


def _centre(places: list[dict[str, _Place]], height: float) -> None:
    for column in places:
        lowest = max((place.top + place.height for place in column.values()), default=0.0)
        for place in column.values():
            place.top += (height - lowest) / 2
            place.left = place.right = place.top


def _drawn(
    column: int,
    bands: dict[tuple[str, str, str], int],
    orders: list[dict[str, int]],
    places: list[dict[str, _Place]],
    thickness: Callable[[int], float],
) -> list[Band]:
    """The strands between two columns: at both ends in the order of the nodes at the other one."""
    starts: dict[tuple[str, str, str], float] = {}
    keys = list(bands)
    rank = {verdict: number for number, verdict in enumerate(reversed(VERDICTS))}
    for key in sorted(keys, key=lambda k: (orders[column][k[0]], orders[column + 1][k[1]], rank[k[2]])):
        place = places[column][key[0]]
        starts[key] = place.right
        place.right += thickness(bands[key])
    drawn = []
    for key in sorted(keys, key=lambda k: (orders[column + 1][k[1]], orders[column][k[0]], rank[k[2]])):
        place, thick = places[column + 1][key[1]], thickness(bands[key])
        outline = _outline(COLUMNS[column] + NODE, starts[key], COLUMNS[column + 1], place.left, thick)
        place.left += thick
        drawn.append(Band(outline, key[2], bands[key], key[:2], column))
    return drawn


def _outline(left: float, top: float, right: float, other: float, thick: float) -> str:
    """A band from one point to another, both level, as an SVG path."""
    middle = (left + right) / 2
    return (
        f"M{left:.1f} {top:.1f}C{middle:.1f} {top:.1f} {middle:.1f} {other:.1f} {right:.1f} {other:.1f}"
        f"V{other + thick:.1f}C{middle:.1f} {other + thick:.1f} {middle:.1f} {top + thick:.1f} {left:.1f} {top + thick:.1f}Z"
    )


def label(name: str, flows: int, longest: int) -> list[str]:
    """A label in lines that fit beside a node, broken behind spaces and dots; the end of a very long name is left out."""
    lines = [""]
    if len(name) + len(f" · {flows:,}") > longest and ", " in name:  # of a path: how it was taken
        name, _, how = name.partition(", ")
        return [f"{name},", *label(how, flows, longest)]
    parts, count = re.split(r"(?<=[ .])", name), f"· {flows:,}"
    if len(parts[-1]) + len(count) < longest:  # the number stands behind a word
        parts[-1] = f"{parts[-1]} {count}"
    for part in parts:
        for piece in textwrap.wrap(part, longest, drop_whitespace=False) or [part]:
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > longest:
                lines.append("")
            lines[-1] += piece
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1][: longest - 1]}…"]
    if not lines[-1].endswith(count):
        lines.append(count)
    return [line.strip() for line in lines]
