"""Flows over time as shapes: stacked bars in percent of the width, ticks, and marks where paths changed."""

from typing import NamedTuple

from auditor.border.words import counted
from auditor.report.charts import PathChange, Timeline, change_words, moment

HEIGHT = 150.0  # of the bars
ROW = 20.0  # of the numbers of marks, which are above the bars in two rows at most
BESIDE = 5.0  # percent of the width below which a number stands lower than the one before
TICKS = 4
FILLED = 0.82  # of a bin
SECOND, MINUTE, DAY = 1_000_000_000, 60_000_000_000, 86_400_000_000_000


class BarPart(NamedTuple):
    """A part of a bar: flows of a path, with how well it is proven, in a bin of time."""

    x: float  # percent
    width: float  # percent
    y: float
    height: float
    way: str
    flows: int
    begins: str


class Mark(NamedTuple):
    """A change of path."""

    x: float  # percent
    y: float  # of its number
    number: int
    words: str


class Tick(NamedTuple):
    """A time below the axis."""

    x: float  # percent
    text: str
    anchor: str  # which end of the text is there


class Axis(NamedTuple):
    """The whole chart."""

    pieces: list[BarPart]
    marks: list[Mark]
    ticks: list[Tick]
    most: int  # flows of the highest bar
    bottom: float
    step: str  # how long a bar is, in words


def layout(line: Timeline, events: list[PathChange]) -> Axis:
    """Lay the chart out; ``events``: the changes that are marked."""
    totals = line.totals
    most, share = max(totals, default=0), 100 / max(len(totals), 1)
    below = [0.0] * len(totals)
    marks = _marks(line, events)
    top = 2 + max((mark.y + ROW / 2 for mark in marks), default=0)
    pieces = []
    for way, counts in line.series.items():
        for k, flows in enumerate(counts):
            if flows:
                height = flows * HEIGHT / most
                y = top + HEIGHT - below[k] - height
                begins = moment(line.times[k], _parts(line.width))
                x, width = round(k * share, 2), round(share * FILLED, 2)
                pieces.append(BarPart(x, width, round(y, 2), round(height, 2), way, flows, begins))
                below[k] += height
    return Axis(pieces, marks, _ticks(line, share), most, top + HEIGHT, duration(line.width))


def _marks(line: Timeline, events: list[PathChange]) -> list[Mark]:
    """The changes; of two beside each other the second has its number below."""
    marks: list[Mark] = []
    for number, event in enumerate(events, 1):
        x = _place(line, event.time)
        is_low = bool(marks) and x - marks[-1].x < BESIDE and marks[-1].y < ROW
        marks.append(Mark(x, 9 + ROW * is_low, number, change_words(event)))
    return marks


def duration(nanoseconds: int) -> str:
    """A length of time in its largest whole unit."""
    for size, one in ((DAY, "day"), (60 * MINUTE, "hour"), (MINUTE, "minute"), (SECOND, "second")):
        if nanoseconds >= size and nanoseconds % size == 0:
            count = nanoseconds // size
            return (f"an {one}" if one == "hour" else f"a {one}") if count == 1 else counted(count, one)
    return f"{nanoseconds / 1e6:g} ms"


def _place(line: Timeline, time: int) -> float:
    whole = line.width * len(line.times)
    return round(100 * min(max(time - line.times[0], 0) / whole, 1), 2)


def _parts(width: int) -> int:
    """How many letters of a time tell bins apart."""
    return 10 if width >= DAY else 16 if width >= MINUTE else 19 if width >= SECOND else 23


def _ticks(line: Timeline, share: float) -> list[Tick]:
    """The first bin, and every second, third, … of those behind it, so that there are few."""
    count, parts = len(line.times), _parts(line.width)
    if not count:
        return []
    ticks = []
    for k in range(0, count, max(1, -(-(count - 1) // TICKS))):
        anchor = "start" if k == 0 else "end" if k == count - 1 else "middle"
        text = moment(line.times[k], parts)
        same_day = k > 0 and text[:10] == moment(line.times[0])[:10] and len(text) > 10
        ticks.append(
            Tick(
                round(0 if k == 0 else (k + FILLED if anchor == "end" else k + FILLED / 2) * share, 2),
                text[11:] if same_day else text,
                anchor,
            )
        )
    return ticks
