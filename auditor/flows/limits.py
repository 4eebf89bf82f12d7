"""How many flows, bytes and names the flow kernels may remember at one time."""

from typing import NamedTuple

from auditor.flows.state import CHUNK, DATAGRAM, FLOW, HANDSHAKE, PLACE, SIDE, STREAM, WAY

BUCKETS_A_FLOW = 4 * 4  # bytes; between two and four heads for each flow
ENTRY = 3 * 8 + 4 * 4  # bytes of an interned string besides its own, with its share of the buckets
SHORT = 64  # bytes of a string: with as many shorter ones their number is the limit


class Limits(NamedTuple):
    """Places of each array. No memory is taken for those that are not in use."""

    flows: int = 1 << 14
    handshakes: int = 1 << 14
    positions: int = 1 << 12
    streams: int = 1 << 12
    chunks: int = 1 << 11
    datagrams: int = 1 << 12
    arena: int = 1 << 23  # bytes
    strings: int = 1 << 17

    @classmethod
    def within(cls, *, flows: int, streams: int, strings: int) -> "Limits":
        """What fits into so many bytes each: of flows with their handshakes, of streams, of interned strings.

        A quarter of the flows may have a position besides those of their first packets, and twice as many streams as
        have bytes in two chunks of memory may be waiting for more.
        """
        count = flows // (
            FLOW.itemsize
            + 2 * SIDE.itemsize
            + 2 * WAY.itemsize
            + BUCKETS_A_FLOW
            + HANDSHAKE.itemsize
            + PLACE.itemsize // 4
        )
        pairs = streams // (2 * STREAM.itemsize + 2 * CHUNK)
        entries = strings // (4 * SHORT)
        datagrams = entries // 2
        return cls(
            flows=count,
            handshakes=count,
            positions=count // 4,
            streams=2 * pairs,
            chunks=2 * pairs,
            datagrams=datagrams,
            arena=strings - entries * ENTRY - datagrams * DATAGRAM.itemsize,
            strings=entries,
        )
