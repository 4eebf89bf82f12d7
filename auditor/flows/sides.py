"""The two sides of a flow: rows of SIDE and WAY in the first half of their arrays, and in the second those of the other side.

Side 0 is in the first half. Of a flow that nobody answers, as a flood has millions of them, the second half is never
written to: memory that nobody has touched is taken from nobody. So a blank row is all zeros there.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from auditor.decode.packet import PacketRow
from auditor.flows.state import BLANK_SIDE, BLANK_WAY, SideRow, SideRows, WayRows
from auditor.machine.blank import copy_record
from auditor.machine.kernel import inlined, part

HalvedRows: TypeAlias = NDArray[Any]
FAR = 1 << 22  # bytes of a stream that a capture may lack in one place


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


@part
def is_far(mine: SideRow, packet: PacketRow) -> bool:
    """Whether a segment's number is far from all that its side has sent, as far as the capture has that."""
    ahead = (np.int64(packet.sequence) - np.int64(mine.initial_sequence)) & 0xFFFFFFFF
    sent = min(np.int64(mine.payload), np.int64(1 << 31))
    return bool(mine.packets > 0 and sent + FAR < ahead < (1 << 32) - FAR)
