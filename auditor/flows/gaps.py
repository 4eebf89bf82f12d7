"""Whether bytes that a side of a TCP connection sent are not in the capture: what was not seen may then have been sent."""

import numpy as np

from auditor.decode.packet import ACK
from auditor.flows.state import ACTIVE, SideRow, StreamRow
from auditor.machine.kernel import part

FARTHEST = 1 << 20  # bytes; what is further off was forged, or is of another connection


@part
def is_missing(behind: int, here: int) -> bool:
    """Whether a sequence number is behind ``here`` by more than a FIN's own."""
    return bool(1 < (np.int64(behind) - np.int64(here)) & 0xFFFFFFFF < FARTHEST)


@part
def lacks_bytes(mine: SideRow, other: SideRow, stream: StreamRow) -> bool:
    """A gap that nothing has filled, bytes acknowledged that were not seen, or segments whose numbers skip some.

    Asked when a flow is over, of a side that is still followed. What was sent before the capture began is not missing.
    """
    if mine.state == ACTIVE and stream.spans > 0 and stream.have < stream.span[2 * stream.spans - 1]:
        return True
    if mine.packets == 0 or mine.rivals != 0:
        return False
    if other.tcp_flags & ACK and is_missing(other.acknowledged, mine.next_sequence):
        return True
    first = np.int64(mine.initial_sequence) + (1 if mine.syn != 0 else 0)
    return is_missing(np.int64(mine.next_sequence), first + np.int64(mine.payload))
