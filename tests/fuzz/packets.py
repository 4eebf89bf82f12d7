"""Packets given to the kernels themselves: an audit would note a bounds check that fails as damage and go on without them."""

import itertools
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from auditor.capture.beginnings import PCAP
from auditor.capture.pcap import ANY_FRACTION, LARGEST_PACKET, MORE
from auditor.capture.pcapng import INTERFACE
from auditor.decode.layers import layer_of_link_type
from auditor.flows import rows
from auditor.flows import state as S
from auditor.flows.limits import Limits
from auditor.flows.room import forget_answers, is_full, make_room, new_state, oldest
from auditor.flows.state import ROOM_CHUNKS
from auditor.flows.table import evict
from auditor.reading import scan
from auditor.tls import datagrams, long_messages
from tests.fuzz import mutate, seeds

FEW = Limits(256, 256, 256, 256, 256, 256, 1 << 22, 1 << 14)  # a state that is made in no time
# Of which every array is full soon; strings are not let go of here, so there is room for them.
NONE_LEFT = FEW._replace(flows=4, handshakes=2, positions=2, streams=2, chunks=2 * ROOM_CHUNKS, datagrams=2)
MOST = 1 << 10  # packets of an input
RECORDS = 16  # bytes of a record's header


def make(random: Random) -> bytes:
    """A capture of which packets are wrong, or in another order."""
    return mutate.frames(random, random.choice(seeds.stacks()), random.choice(seeds.stacks()))


def read(path: Path) -> None:
    """Follow its packets, where there is room for all and where there is hardly any, together and each by itself."""
    for limits in (FEW, NONE_LEFT):
        for alone in (False, True):
            follow(path.read_bytes(), limits, alone=alone)


def glance(path: Path, random: Random) -> None:
    """One of these."""
    follow(path.read_bytes(), random.choice((FEW, FEW, NONE_LEFT)), alone=random.random() < 0.7)


def follow(data: bytes, limits: Limits, *, alone: bool) -> None:
    """Decode the packets of a pcap, and give them to their flows, as ``reading.following`` does. Raises what a kernel raises.

    ``alone``: nothing lies behind a packet in memory, so that whoever reads beyond its end is found out.
    """
    is_big = data[:4] in (b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d")
    (link,) = struct.unpack(">I" if is_big else "<I", data[20:24])
    layer = layer_of_link_type(link)
    layout = np.array([PCAP, is_big, 1000, layer, LARGEST_PACKET, RECORDS, 0, ANY_FRACTION], np.int64)
    state, packets, frame = new_state(limits), S.packets(MOST), 0
    interfaces = np.zeros(0, INTERFACE).view(np.recarray)
    for part in _parts(data, ">" if is_big else "<") if alone else [data[24:]]:
        block = np.frombuffer(bytearray(part), np.uint8)
        count, *_ = scan.read_batch(block, 0, len(block), layout, interfaces, frame, packets)
        state, frame = _given(state, partial(_step, block, packets, count)), frame + count
        packets = S.packets(MOST) if not alone else S.packets(1)
    nothing = S.packets(1)
    _taken(_given(state, lambda state, _: scan.follow_batch(state, nothing.view(np.uint8), nothing, 0, 0, True)))


def _step(block: S.Array, packets: S.Array, count: int, state: S.State, at: int) -> tuple[int, int]:
    return scan.follow_batch(state, block, packets, at, count, False)


def _parts(data: bytes, order: str) -> Iterator[bytes]:
    """The records of a pcap."""
    at = 24
    while at + RECORDS <= len(data):
        end = at + RECORDS + struct.unpack(f"{order}I", data[at + 8 : at + 12])[0]
        yield data[at:end]
        at = end


def _given(state: S.State, step: Callable[[S.State, int], tuple[int, int]]) -> S.State:
    """Do a step again until nothing is left, with room made and rows taken as it asks for."""
    at = 0
    for tries in itertools.count():
        assert tries < 100 * MOST, "it never ends"
        at, reason = step(state, at)
        if reason == MORE:
            return state
        state = _room(state) if reason == scan.ROOM else _taken(state)
    raise AssertionError


def _room(state: S.State) -> S.State:
    state = make_room(state)
    for _ in range(MOST):
        if not is_full(state):
            return state
        forget_answers(state)
        for part in oldest(state):
            evict(state, part)
            state = _taken(state)
        state = make_room(_taken(state))
    return state


def _taken(state: S.State) -> S.State:
    """Take the rows that are finished, with handshakes that were put together from messages and datagrams."""
    done = rows.finished(state)
    state = long_messages.join(state, done.flows, done.handshakes, done.handshake_flow)
    state, handshakes, flow_of_each = datagrams.handshakes(state, done.flows, done.sides)
    done.add_handshakes(handshakes, flow_of_each)
    rows.free(state)
    return state
