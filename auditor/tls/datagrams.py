"""Handshakes over datagrams: QUIC and DTLS, put together from the datagrams that the kernels kept of a flow.

There are few of them and each is small, so this is plain Python. What it finds are handshake messages; the kernel that
reads those of TLS over TCP reads them too (``messages.read_message``), so the rows are the same.
"""

from typing import Any

import numpy as np

from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.recognise.numbers import DTLS, QUIC
from auditor.tls.datagram_messages import Assembler, Datagram

Array = np.ndarray[Any, Any]


class Kept:
    """The datagrams that the kernels kept."""

    def __init__(self, memory: S.Memory) -> None:
        self._rows = memory.datagrams.view(np.ndarray)
        self._memory = memory

    def chain(self, last: int) -> list[Datagram]:
        """The datagrams of the chain that ends at ``last``, in the order they came."""
        memory, datagrams = self._memory, []
        while last >= 0:
            frame, time, number, before, side = self._rows[last].item()
            datagrams.append(Datagram(value(memory.arena, memory.entries, number), side, frame, time))
            last = before
        return datagrams[::-1]


def handshakes(state: S.State, flows: Array, sides: Array) -> tuple[S.State, Array, Array]:
    """The handshakes in the kept datagrams of finished flows: the state (its arrays may have grown), rows, flow of each.

    ``flows`` and ``sides`` are copies of finished rows; the client of a flow is set by its ClientHello.
    """
    at = np.flatnonzero(flows["datagram"] >= 0)
    if not len(at):
        return state, np.zeros(0, S.HANDSHAKE), at
    from auditor.tls.dtls import Dtls
    from auditor.tls.gssapi import Gssapi
    from auditor.tls.quic import Quic

    kept = Kept(state.memory)
    rows: list[bytes] = []
    index: list[int] = []
    chains = zip(
        at.tolist(),
        flows["datagram"][at].tolist(),
        flows["application"][at].tolist(),
        flows["identifier"][at].tolist(),
        (sides["protected"][at] != 0).tolist(),
        strict=True,
    )
    for flow, last, application, identifier, protected in chains:
        assembler: Assembler
        if application == QUIC:
            assembler = Quic(state)
        elif application == DTLS:
            assembler = Dtls(state)
        else:
            assembler = Gssapi(state, application)
        for handshake in assembler.run(kept.chain(last), protected):
            handshake["flow"] = identifier
            flows["client"][flow] = handshake["client_side"]
            rows.append(handshake.rows.tobytes())
            index.append(flow)
        state = assembler.state
    return state, np.frombuffer(b"".join(rows), S.HANDSHAKE), np.array(index, np.int64)
