"""What switches and routers report of traffic: sFlow, NetFlow and IPFIX, recognised by their form."""

from auditor.decode.bytes import Bytes, be16, be32
from auditor.machine.kernel import part
from auditor.recognise.numbers import IPFIX, NETFLOW, SFLOW, UNKNOWN

MOST_SAMPLES, MOST_RECORDS = 256, 64  # of one datagram, more than fit in any
FIRST_TEMPLATE_USE = 256  # sets of lower numbers are templates (RFC 3954 5.2, RFC 7011 3.3.2)


@part
def is_sflow(block: Bytes, at: int, end: int) -> bool:
    """Version 5 (sflow.org): agent's address, sub-agent, sequence, uptime, number of samples, each with its length."""
    if end - at < 28 or be32(block, at) != 5:
        return False
    kind = be32(block, at + 4)
    header = 28 if kind == 1 else 40 if kind == 2 else 0
    if header == 0 or at + header > end:
        return False
    samples = be32(block, at + header - 4)
    if samples > MOST_SAMPLES or (samples > 0 and at + header + 8 > end):
        return False
    if samples == 0:
        return at + header == end
    length = be32(block, at + header + 4)
    return be32(block, at + header) & 0xFFF <= 5 and length % 4 == 0 and at + header + 8 + length <= end


@part
def is_netflow_of_old(block: Bytes, at: int, end: int, version: int) -> bool:
    """Versions 1, 5 and 7: a number of records of one length."""
    count = be16(block, at + 2)
    header, record = (16, 52) if version == 1 else (24, 48) if version == 5 else (24, 52)
    return 0 < count <= MOST_RECORDS and end - at == header + count * record


@part
def is_set(block: Bytes, at: int, end: int, template: int) -> bool:
    """A set of templates or records: its number, and a length that fits."""
    if at + 4 > end:
        return False
    number, length = be16(block, at), be16(block, at + 2)
    is_known = number == template or number == template + 1 or number >= FIRST_TEMPLATE_USE
    return is_known and length >= 4 and at + length <= end


@part
def export_application(block: Bytes, at: int, end: int) -> int:
    """SFLOW, NETFLOW (versions 1, 5, 7, 9; RFC 3954) or IPFIX (RFC 7011); UNKNOWN for others."""
    if end - at < 20:
        return UNKNOWN
    version = be16(block, at)
    if version == 0:
        return SFLOW if is_sflow(block, at, end) else UNKNOWN
    if version == 1 or version == 5 or version == 7:
        return NETFLOW if is_netflow_of_old(block, at, end, version) else UNKNOWN
    if version == 9:
        return NETFLOW if be16(block, at + 2) > 0 and is_set(block, at + 20, end, 0) else UNKNOWN
    if version == 10 and be16(block, at + 2) == end - at:
        return IPFIX if is_set(block, at + 16, end, 2) else UNKNOWN
    return UNKNOWN
