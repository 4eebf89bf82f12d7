"""The capturing child where neither dumpcap nor tcpdump is installed: raw bytes of scapy's socket, as pcap.

It is started by ``live`` with the interface and, where there is one, the filter.
"""

import signal
import struct
import sys
import time
from contextlib import suppress
from typing import Any

from auditor.border.words import agreed
from auditor.machine import tether

MAGIC_NANOSECONDS = 0xA1B23C4D
ETHERNET, SNAP_LENGTH = 1, 262_144


SOL_PACKET, PACKET_STATISTICS = 263, 6  # packet(7): packets and drops since it was asked the last time


class Drops:
    """How many packets the kernel has dropped; said on standard error, as tcpdump does, when it is asked for."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._count = socket, 0
        with suppress(OSError, AttributeError):
            self._new()  # until it was bound and had its filter, the socket has met packets that nobody asked for

    def _new(self) -> int:
        return int(struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1])

    def say(self, *_: object) -> None:
        """Ask the kernel, and say it."""
        with suppress(OSError, AttributeError):  # a system that has no such counts
            self._count += self._new()
            sys.stderr.write(f"{self._count} {agreed(self._count, 'packet')} dropped by kernel\n")
            sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Capture until SIGTERM or SIGINT."""
    import scapy.arch  # noqa: F401 - chooses the sockets of this system
    from scapy.config import conf

    interface, *rest = arguments
    options: dict[str, Any] = {"filter": rest[0]} if rest else {}
    try:
        source = conf.L2listen(iface=interface, **options)
    except Exception as error:  # noqa: BLE001 - scapy raises many kinds; all of them mean the same here
        sys.stderr.write(f"{error}\n")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    drops = Drops(source.ins)
    signal.signal(tether.ASKING, drops.say)
    sys.stderr.write(f"listening on {interface}\n")
    sys.stderr.flush()
    out = sys.stdout.buffer
    out.write(struct.pack("<IHHiIII", MAGIC_NANOSECONDS, 2, 4, 0, 0, SNAP_LENGTH, ETHERNET))
    out.flush()
    try:
        while True:
            _, data, when = source.recv_raw(SNAP_LENGTH)
            if data is None:
                continue
            stamp = time.time_ns() if when is None else int(when * 1_000_000_000)
            out.write(struct.pack("<IIII", *divmod(stamp, 1_000_000_000), len(data), len(data)) + data)
            out.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        drops.say()
        return 0
