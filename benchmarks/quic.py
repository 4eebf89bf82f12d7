"""A capture of 10,000 QUIC connections, each with connection ids and keys of its own, its ClientHello in two datagrams.

Initial packets are padded to 1,200 bytes, as RFC 9000 14.1 asks of clients.
"""

import struct
import sys
from pathlib import Path

from scapy.layers.inet import IP, UDP

from tests import quic_wire, wire
from tests.test_datagrams import ANSWER, HELLO

CONNECTIONS = 10_000
SHORT = b"\x40" + bytes(40)  # a packet under the session's keys


def _connection(number: int) -> list[tuple[int, bytes]]:
    """Packets with their times in microseconds."""
    identifier = struct.pack(">Q", 0x1234_5678_0000_0000 + number * 7919)
    client = f"10.0.{number >> 8}.{number & 255}"
    half = len(HELLO) // 2
    halves = quic_wire.crypto(0, HELLO[:half]), quic_wire.crypto(half, HELLO[half:])
    answer = quic_wire.initial(quic_wire.crypto(0, ANSWER), identifier, "server", target=b"\1\2\3\4", source=b"srv")
    there = wire.ETHERNET / IP(src=client, dst=wire.SERVER) / UDP(sport=50_000, dport=443)
    back = wire.ETHERNET / IP(src=wire.SERVER, dst=client) / UDP(sport=443, dport=50_000)
    begin = number * 5000
    return [
        *(
            (begin + k, bytes(there / quic_wire.initial(frames, identifier, number=k)))
            for k, frames in enumerate(halves)
        ),
        (begin + 1000, bytes(back / answer)),
        (begin + 2000, bytes(there / SHORT)),
        (begin + 3000, bytes(back / SHORT)),
    ]


def capture(folder: Path) -> Path:
    """The capture, generated where it is missing."""
    path = folder / "quic.pcap"
    if not path.exists():
        stamped = sorted(packet for number in range(CONNECTIONS) for packet in _connection(number))
        records = (
            struct.pack("<IIII", 1_700_000_000 + when // 1_000_000, when % 1_000_000, len(data), len(data)) + data
            for when, data in stamped
        )
        path.write_bytes(wire.pcap([]) + b"".join(records))
    return path


if __name__ == "__main__":
    sys.stdout.write(str(capture(Path(sys.argv[1]))))
