"""Connections that go on in another VLAN or tunnel: rows of their own in ``flows``, and one way for the judge.

A flow is a 5-tuple within its VLANs and tunnels, so that networks with the same addresses are kept apart. A connection
that is moved to another link in its middle is two rows then. It is recognised by what goes on without a handshake where
the other has ended, and each of its rows is judged by the positions of all.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from auditor.paths.model import DIRECTIONS, Flows
from auditor.paths.positions import Positions

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000
# As long as a flow may be silent before it is another one (``flows.table``); and as far as captures are out of order.
LONGEST_PAUSE = {6: 300 * SECOND, 17: 60 * SECOND}
OVERLAP = SECOND


def continued(flows: Flows) -> Flows:
    """The same flows, those that are parts of one connection with the positions of all of its parts."""
    chains = _chains(flows)
    if not chains:
        return flows
    positions, ways = flows.positions, flows.ways
    begin, end = (np.searchsorted(positions.flow, np.arange(len(flows)), side) for side in ("left", "right"))
    in_chain = np.zeros(len(flows), bool)
    rows, owner, turned = [], [], []
    packets = {which: ways[which].packets.copy() for which in DIRECTIONS}
    for chain in chains:
        in_chain[chain] = True
        for mine in chain:
            for other in chain:
                is_turned = not _same_ends(flows, mine, other)
                at = np.arange(begin[other], end[other])
                rows.append(at)
                owner.append(np.full(len(at), mine))
                turned.append(np.full(len(at), is_turned))
                if other != mine:
                    for which, there in zip(DIRECTIONS, DIRECTIONS[:: -1 if is_turned else 1], strict=True):
                        packets[which][mine] += ways[there].packets[other]
    alone = np.flatnonzero(~in_chain[positions.flow])
    every = np.concatenate([alone, *rows])
    flow = np.concatenate([positions.flow[alone], *owner])
    swap = np.concatenate([np.zeros(len(alone), bool), *turned])
    whole = positions.at(every)
    whole = Positions(**{**vars(whole), "flow": flow, "direction": whole.direction ^ swap})
    return replace(
        flows,
        positions=whole.at(np.lexsort((whole.first_frame, whole.first_time, flow))),
        ways={which: replace(ways[which], seen=packets[which] > 0, packets=packets[which]) for which in DIRECTIONS},
    )


def _same_ends(flows: Flows, one: int, other: int) -> bool:
    """Whether two rows of one connection take the same end for the client: without a handshake the first to speak is."""
    return bool(
        flows.client_high[one] == flows.client_high[other]
        and flows.client_low[one] == flows.client_low[other]
        and flows.client_port[one] == flows.client_port[other]
    )


def _chains(flows: Flows) -> list[list[int]]:
    """The rows of each connection that has several, in the order of time."""
    one = np.stack([flows.client_high, flows.client_low, flows.client_port.astype(np.uint64)], axis=1)
    two = np.stack([flows.server_high, flows.server_low, flows.server_port.astype(np.uint64)], axis=1)
    mixed = _mixed(one) + _mixed(two)  # the same for both directions
    order = np.lexsort((flows.started, mixed, flows.ip_protocol))
    near = (mixed[order[1:]] == mixed[order[:-1]]) & (flows.ip_protocol[order[1:]] == flows.ip_protocol[order[:-1]])
    chains: list[list[int]] = []
    last = -1
    for at in np.flatnonzero(near).tolist():
        before, then = int(order[at]), int(order[at + 1])
        if not _goes_on(flows, before, then):
            continue
        if last == before:
            chains[-1].append(then)
        else:
            chains.append([before, then])
        last = then
    return chains


def _mixed(end: Array) -> Array:
    value = end[:, 1] ^ (end[:, 0] * np.uint64(0x9E3779B97F4A7C15)) ^ (end[:, 2] << np.uint64(48))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(value ^ (value >> np.uint64(27)))


def _goes_on(flows: Flows, before: int, then: int) -> bool:
    """Whether a row is what comes after another one of the same connection: later, soon, and without a handshake."""
    ends = [
        {tuple(int(c[row]) for c in (*flows.end(which), getattr(flows, f"{which}_port"))) for which in DIRECTIONS}
        for row in (before, then)
    ]
    pause = int(flows.started[then]) - int(flows.ended[before])
    longest = LONGEST_PAUSE.get(int(flows.ip_protocol[then]), 0)
    return ends[0] == ends[1] and -OVERLAP <= pause <= longest and not flows.opens[then]
