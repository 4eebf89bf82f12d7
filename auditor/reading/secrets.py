"""TLS secrets inside captures that were read already: they are in no file that processes hand to each other."""

from contextlib import suppress

from auditor.capture.inputs import Input
from auditor.capture.pcap import DAMAGED, SPECIAL
from auditor.capture.reader import BLOCK_BYTES, Reader, new_buffer
from auditor.errors import InputError
from auditor.flows import state as S
from auditor.reading import scan
from auditor.reading.decoding import SMALLEST_PACKET


def of(item: Input) -> list[bytes]:
    """The secrets that a capture has (pcapng's Decryption Secrets Blocks); none where it cannot be read again."""
    again = item.again()
    if again is None:
        return []
    buffer, packets = new_buffer(BLOCK_BYTES), S.packets(BLOCK_BYTES // SMALLEST_PACKET)
    with suppress(InputError, OSError):
        reader = Reader(again, buffer)
        try:
            reader.fill()
            while _next(reader, packets):
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
