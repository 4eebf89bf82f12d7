"""The two sides of a flow: rows of SIDE and WAY in the first half of their arrays, and in the second those of the other side.

Side 0 is in the first half. Of a flow that nobody answers, as a flood has millions of them, the second half is never
written to: memory that nobody has touched is taken from nobody. So a blank row is all zeros there.
"""

from typing import Any, TypeAlias

from numpy.typing import NDArray

from auditor.flows.state import BLANK_SIDE, BLANK_WAY, SideRows, WayRows
from auditor.machine.blank import copy_record
from auditor.machine.kernel import inlined, part

HalvedRows: TypeAlias = NDArray[Any]


@inlined
def place_of(rows: HalvedRows, at: int, direction: int) -> int:
    """The place of a side's row."""
    return at + direction * (rows.size >> 1)


@part
def begin_sides(sides: SideRows, ways: WayRows, at: int) -> None:
    """Blank rows for a flow that begins; those of side 1 are blank already where no packet and no loss was noted there."""
    copy_record(sides[at], BLANK_SIDE[0])
    copy_record(ways[at], BLANK_WAY[0])
    other = place_of(sides, at, 1)
    if sides[other].packets != 0 or sides[other].lost != 0:
        copy_record(sides[other], BLANK_SIDE[0])
        copy_record(ways[other], BLANK_WAY[0])
