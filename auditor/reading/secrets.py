"""TLS secrets inside captures that were read already: they are in no file that processes hand to each other."""

from contextlib import suppress

from auditor.capture.inputs import Input
from auditor.capture.pcap import DAMAGED, SPECIAL
from auditor.capture.reader import SMALLEST_BLOCK, Reader, new_buffer
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.reading import scan

LISTED = 4096  # packets that are passed over at one time


def of(item: Input, count: int) -> list[bytes]:
    """The secrets that the first Decryption Secrets Blocks of a pcapng have; none where it cannot be read again.

    ``count``: how many blocks these are, after which nothing is read: most captures begin with them.
    """
    again = item.again()
    if again is None:
        return []
    buffer, packets = new_buffer(SMALLEST_BLOCK), S.packets(LISTED)
    with suppress(InputError, OSError):
        reader = Reader(again, buffer)
        try:
            reader.fill()
            while reader.pcapng.secrets < count and _next(reader, packets):
                continue
        finally:
            reader.close()
        return reader.pcapng.key_logs
    return []


def _next(reader: Reader, packets: S.Array) -> bool:
    """Pass over packets to what is no packet, or to the end of what is in memory; whether there may be more."""
    count, reader.position, ended, *_ = scan.read_batch(
        reader.buffer, reader.position, reader.stop, reader.layout, reader.interfaces, 0, packets
    )
    if count == len(packets) or (ended in (DAMAGED, SPECIAL) and reader.special(ended == DAMAGED)):
        return True
    return reader.notes.status == "complete" and reader.fill()
