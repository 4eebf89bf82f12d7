"""Endace's extensible record format: how a file of it is recognised, which has no header, and the kernel that walks records."""

import numpy as np

from auditor.capture.pcap import DAMAGED, FULL, MORE, list_packet
from auditor.decode.bytes import Bytes, be16, le32
from auditor.decode.layers import ERF_LAYER, ERF_TYPES, ETHERNET, IPV4, IPV6, PPP_HDLC
from auditor.decode.packet import PacketRows
from auditor.decode.wrapped import ERF_HEADER, erf_header
from auditor.machine.kernel import part

MORE_HEADERS = 0x80  # bit of a record's type, and of an extension header's
PADDING, METADATA = 48, 27  # types of records that are no packets
KINDS = {*range(1, 30), PADDING}
EARLIEST, LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100: DAG cards came with the nineties
SMALLEST_OF_LENGTHS = 8  # a byte below the characters of texts, of which lengths, losses and flags have some
HDLC_BEGINNINGS = (b"\xff\3", b"\x0f\0", b"\x8f\0")  # PPP's (RFC 1662 3.1) and Cisco's, unicast and multicast
PLAUSIBLE = 3  # records in a row that have to be valid, where the beginning of a file has so many


@part
def walk_erf(
    block: Bytes, position: int, stop: int, interface: int, frame: int, packets: PacketRows
) -> tuple[int, int, int]:
    """As ``walk_pcap``, for ERF: time in 32.32 fixed point, type, flags, record length, lost, wire length."""
    count = 0
    while count < packets.size:
        if position + ERF_HEADER > stop:
            return count, position, MORE
        length, original = be16(block, position + 10), be16(block, position + 14)
        if length < ERF_HEADER:
            return count, position, DAMAGED
        if position + length > stop:
            return count, position, MORE
        kind = int(block[position + 8]) & 0x7F
        if kind != PADDING and kind != METADATA:
            time = le32(block, position + 4) * 1_000_000_000 + ((le32(block, position) * 1_000_000_000) >> 32)
            header = erf_header(block, position, position + length)
            captured = length - header
            packet = packets[count]
            list_packet(packet, time, frame + count + 1, position, length, length, interface, np.int64(ERF_LAYER))
            packet.missing = max(0, original - captured)
            packet.wire_length = original
            count += 1
        position += length
    return count, position, FULL


def is_erf(head: bytes) -> bool:
    """Whether a file without a magic number begins with records: what can be checked of each has to fit.

    Of one header alone too little can be: it needs a frame of its type behind it, or a record behind its end.
    """
    at = valid = 0
    has_frame = False
    while at + ERF_HEADER <= len(head) and valid < PLAUSIBLE:
        record = head[at:]
        kind, length = record[8] & 0x7F, int.from_bytes(record[10:12], "big")
        seconds = int.from_bytes(record[4:8], "little")
        if valid == 0 and min(record[:ERF_HEADER]) > SMALLEST_OF_LENGTHS:  # a text: lines of addresses, say
            return False
        is_unstamped = kind == METADATA and not any(record[:8])  # Wireshark writes no time into it
        is_timed = EARLIEST < seconds < LATEST or is_unstamped
        if kind not in KINDS or length < ERF_HEADER or not is_timed or record[9] & 0xC0:
            return False
        begins = _begins_frame(record)
        if begins is False:
            return False
        has_frame = has_frame or begins is True
        at += length
        valid += 1
    return has_frame or valid > 1 or at == len(head) > 0


def _begins_frame(record: bytes) -> bool | None:
    """Whether a frame of its record's type begins behind the header; None where that is not known or not there."""
    at, more = ERF_HEADER, record[8] & MORE_HEADERS
    while more and at + 8 < len(record):
        more = record[at] & MORE_HEADERS
        at += 8
    first = record[at : at + 2]
    if len(first) < 2:
        return None
    layer = ERF_TYPES.get(record[8] & 0x7F)
    if layer == ETHERNET:  # its offset and padding, then at least a header
        return first == b"\0\0" and int.from_bytes(record[14:16], "big") >= 14
    if layer == PPP_HDLC:
        return True if first in HDLC_BEGINNINGS else None  # PPP may have left them out (RFC 1661 6.6)
    if layer in (IPV4, IPV6):
        return first[0] >> 4 == (4 if layer == IPV4 else 6)
    return None
