"""Handshakes over datagrams: QUIC and DTLS, put together from the datagrams that the kernels kept of a flow.

There are few of them and each is small, so this is plain Python. What it finds are handshake messages; the kernel that
reads those of TLS over TCP reads them too (``messages.read_message``), so the rows are the same.
"""

from typing import Any

import numpy as np

from auditor.decode.packet import TCP
from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.flows.kept import MOST_CARRIED, MOST_DATAGRAMS, MOST_KEPT_BYTES
from auditor.recognise.numbers import EAP, FTP, FTP_SEALED, OPENVPN, QUIC, RADIUS, RDP, SSH, TDS
from auditor.tls.datagram_messages import Assembler, Datagram, MessageArrays
from auditor.tls.ssh import Ssh

Array = np.ndarray[Any, Any]


class KeptDatagrams:
    """The datagrams that the kernels kept."""

    def __init__(self, memory: S.Memory) -> None:
        self._rows = memory.datagrams.view(np.ndarray)
        self._memory = memory

    def chain(self, last: int) -> list[Datagram]:
        """The datagrams of the chain that ends at ``last``, in the order they came."""
        memory, datagrams = self._memory, []
        while last >= 0:
            frame, time, number, before, side, is_cut, message = self._rows[last].item()
            if not message:
                datagrams.append(Datagram(value(memory.arena, memory.entries, number), side, frame, time, bool(is_cut)))
            last = before
        return datagrams[::-1]


def handshakes(state: S.State, flows: Array, sides: Array) -> tuple[S.State, Array, Array]:
    """The handshakes in the kept datagrams of finished flows: the state (its arrays may have grown), rows, flow of each.

    ``flows`` and ``sides`` are copies of finished rows; what the handshakes show of a flow is set in them.
    """
    at = np.flatnonzero(flows["datagram"] >= 0)
    if not len(at):
        return state, np.zeros(0, S.HANDSHAKE), at
    kept, held = KeptDatagrams(state.memory), MessageArrays(state)
    rows: list[bytes] = []
    index: list[int] = []
    for flow in at.tolist():
        application = int(flows["application"][flow])
        over_tcp = int(flows["ip_protocol"][flow]) == TCP
        assembler = (
            Ssh(int(flows["client"][flow]))
            if application == SSH
            else _assembler(held, application, sides["protected"][flow].tolist(), over_tcp=over_tcp)
        )
        held.state.memory.counters[S.EXCHANGED_AT] = flows["number"][flow]
        if not (datagrams := kept.chain(int(flows["datagram"][flow]))):
            continue
        for handshake in assembler.run(datagrams):
            handshake["flow"] = int(flows["identifier"][flow])
            if handshake["seen"]:
                flows["client"][flow] = handshake["client_side"]
            else:  # nothing of it could be read: who is the client does not show by it
                handshake["client_side"] = int(flows["client"][flow])
            rows.append(handshake.rows.tobytes())
            index.append(flow)
        _note(flows, flow, assembler)
        if _is_full(flows[flow], over_tcp=over_tcp):
            lost = sides["lost"][flow]
            lost[lost == 0] = S.NOT_KEPT
    return held.state, np.frombuffer(b"".join(rows), S.HANDSHAKE), np.array(index, np.int64)


def _assembler(held: MessageArrays, application: int, protected: list[int], *, over_tcp: bool) -> Assembler:
    """What puts the handshakes of a flow together. Loaded when there is one: QUIC's needs ``cryptography``."""
    from auditor.tls.eap import EapOverLan, Radius
    from auditor.tls.gssapi import Gssapi
    from auditor.tls.openvpn import OpenVpn
    from auditor.tls.rdp_udp import RdpUdp
    from auditor.tls.shared import Shared
    from auditor.tls.tds import Tds

    if application in (FTP, FTP_SEALED):
        return Gssapi(held)
    if application == TDS:
        return Tds(held)
    if application == OPENVPN:
        return OpenVpn(held, framed=over_tcp)
    if application == EAP:
        return EapOverLan(held)
    if application == RADIUS:
        return Radius(held)
    if application == RDP:
        return RdpUdp(held)
    return Shared(held, application, over_tcp, protected)


def _note(flows: Array, flow: int, assembler: Assembler) -> None:
    """What was seen besides handshakes: another application, an upgrade that was asked for or refused, clear text after it."""
    shown = assembler.shown
    flows["upgrade"][flow] |= shown.upgrade
    if shown.application:
        flows["application"][flow] = shown.application
    if shown.clear:
        flows["clear"][flow] = shown.clear
    if shown.answer:
        flows["answer"][flow] = shown.answer


def _is_full(flow: Any, *, over_tcp: bool) -> bool:
    """Whether as much of a flow was kept as may be, so that there may be more of its handshakes."""
    most = MOST_DATAGRAMS if flow["application"] == QUIC and not over_tcp else MOST_CARRIED
    return bool(flow["datagrams"] >= most or flow["kept"] >= MOST_KEPT_BYTES)
