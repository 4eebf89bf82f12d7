"""Interfaces that packets' own headers name (PKTAP, pflog, SLL2, ERF)."""

import numpy as np

from auditor.border.text import printable
from auditor.capture.reader import Reader
from auditor.decode.layers import ERF_LAYER, NAMED_INTERFACES
from auditor.flows import state as S

MOST_NAMED = 1 << 16  # interfaces of one capture; packets of further ones are of the interface that was captured on


def name_interfaces(reader: Reader, block: S.Array, packets: S.Array) -> None:
    """Give packets whose headers name an interface that one's number."""
    some = np.flatnonzero(packets["wire"])
    if not len(some):
        return
    captured, wires = packets["interface"][some].astype(np.int64), packets["wire"][some].astype(np.int64)
    _, first, which = np.unique(captured << 32 | wires, return_index=True, return_inverse=True)
    numbers = np.zeros(len(first), np.int32)
    for k in np.argsort(first).tolist():  # numbers are given in the order of frames, wherever blocks end
        at = int(some[first[k]])
        of, name = int(packets["interface"][at]), name_of(block, packets[at])
        numbers[k] = reader.named_interface(of, name) if name and len(reader.named) < MOST_NAMED else of
    packets["interface"][some] = numbers[which]


def name_of(block: S.Array, packet: S.Array) -> str:
    """The name of a packet's interface; where its header has only a number, a word with that."""
    link, wire = int(packet["link"]), int(packet["wire"])
    if link in NAMED_INTERFACES:
        at, size = NAMED_INTERFACES[link]
        begin = int(packet["begin"]) + at
        return printable(block[begin : begin + size].tobytes().split(b"\0")[0].decode("utf-8", "replace"))
    return f"port-{wire - 1}" if link == ERF_LAYER else f"ifindex-{wire}"
