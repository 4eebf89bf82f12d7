"""The check sequence at the end of an Ethernet frame (IEEE 802.3 3.2.9), which some captures have.

IP's length leaves it out. Where there is no such length, because segmentation offload writes 0, its value tells it.
"""

import numpy as np

from auditor.decode.bytes import Bytes
from auditor.decode.layers import ETHERNET
from auditor.decode.packet import PacketRow
from auditor.machine.kernel import part

SIZE = 4  # bytes
POLYNOMIAL = 0xEDB88320  # the lowest power first
REMAINDER = 0xDEBB20E3  # of every frame with its check sequence


def _remainders() -> np.ndarray:
    found = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        found = np.where(found & 1, found >> 1 ^ np.uint32(POLYNOMIAL), found >> 1).astype(np.uint32)
    return found


_REMAINDERS = _remainders()


@part
def leave_out_check_sequence(block: Bytes, packet: PacketRow) -> None:
    """End a packet before the check sequence of its frame, if there is one."""
    if packet.link != ETHERNET or packet.missing != 0:
        return
    rest = np.int64(0xFFFFFFFF)
    for at in range(np.int64(packet.begin), np.int64(packet.end)):
        rest = np.int64(_REMAINDERS[(rest ^ np.int64(block[at])) & 0xFF]) ^ (rest >> 8)
    if rest == REMAINDER:
        packet.end -= SIZE
