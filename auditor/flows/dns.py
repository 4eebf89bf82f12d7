"""Answers of the DNS seen in the capture: which name a client asked for when it was given an address (RFC 1035).

A DNS message is recognised by its form, not by a port: a response with one question, whose names and records fill it.
Names that are asked for on the link alone have the same form and ports of their own; anybody there may answer.
"""

import numpy as np

from auditor.decode.bytes import Bytes, be16, be32, be64, mix
from auditor.decode.packet import V4_MAPPED, PacketRow
from auditor.flows.intern import intern
from auditor.flows.shares import note_answer
from auditor.flows.state import ANSWERS_KEPT, SHARES, AnswerRows, Counters, Memory
from auditor.machine.kernel import part

HEADER = 12
MOST_ANSWERS = 48
MOST_JUMPS = 16  # of a compressed name (RFC 1035 4.1.4)
MULTICAST_DNS, LINK_LOCAL_NAMES = 5353, 5355  # RFC 6762, RFC 4795: no resolver, and no names of the world's
LONGEST_NAME = 255
A, CNAME, AAAA, IN = 1, 5, 28, 1
SECOND = 1_000_000_000
# Programs go on with an address for a while, whatever its time to live: browsers a minute, Java half of one. So an
# answer names flows for as long as it says (RFC 1035 3.2.1), and at least so long after it came or was last used.
KEPT = 60 * SECOND
LONGEST_LIFE = 7 * 86_400  # seconds; RFC 8767 4 has resolvers cap longer ones


@part
def skip_name(block: Bytes, at: int, end: int) -> int:
    """The place after a domain name, or -1."""
    for _ in range(128):
        if at >= end:
            return -1
        length = int(block[at])
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2 if at + 2 <= end else -1
        if length > 63:
            return -1
        at += 1 + length
    return -1


@part
def question_name(block: Bytes, at: int, end: int, name: Bytes) -> int:
    """Write the question's name as text in lower case; its length, or -1 for a compressed or odd one."""
    size = 0
    while at < end:
        length = int(block[at])
        if length == 0:
            return size
        if length > 63 or at + 1 + length > end or size + length + 1 > LONGEST_NAME:
            return -1
        if size:
            name[size] = 46
            size += 1
        for k in range(length):
            byte = int(block[at + 1 + k])
            if byte <= 32 or byte >= 127:
                return -1
            name[size] = byte + 32 if 65 <= byte <= 90 else byte
            size += 1
        at += 1 + length
    return -1


@part
def is_dns(block: Bytes, at: int, end: int) -> bool:
    """Whether a UDP payload is a DNS query or response with one question."""
    if end - at < HEADER + 5:
        return False
    flags = be16(block, at + 2)
    if (flags >> 11) & 15 or be16(block, at + 4) != 1 or flags & 0x40:
        return False
    answers = be16(block, at + 6)
    if flags & 0x8000 == 0 and answers:
        return False
    after = skip_name(block, at + HEADER, end)
    if after < 0 or after + 4 > end:
        return False
    kind = be16(block, after + 2) & 0x7FFF
    return (kind == IN or kind == 255) and 0 < be16(block, after) < 300


@part
def slot_of(client_high: np.uint64, client_low: np.uint64, high: np.uint64, low: np.uint64, size: int) -> int:
    value = mix(client_low + np.uint64(0x9E3779B97F4A7C15) * client_high) ^ mix(
        low + high * np.uint64(0xBF58476D1CE4E5B9)
    )
    return np.int64(mix(value) & np.uint64(size - 1))


@part
def remember(
    counters: Counters,
    answers: AnswerRows,
    client_high: np.uint64,
    client_low: np.uint64,
    high: np.uint64,
    low: np.uint64,
    name: int,
    time: int,
    life: int,
) -> None:
    """Keep an answer for its client, for ``life`` nanoseconds. A full neighbourhood loses its oldest: the table is bounded."""
    size = answers.size
    slot = slot_of(client_high, client_low, high, low, size)
    oldest = slot
    for k in range(8):
        at = (slot + k) & (size - 1)
        answer = answers[at]
        if answer.time == 0 or (
            answer.low == low
            and answer.high == high
            and answer.client_low == client_low
            and answer.client_high == client_high
        ):
            oldest = at
            break
        if answer.time < answers[oldest].time:
            oldest = at
    answer = answers[oldest]
    is_same = (
        answer.time != 0
        and answer.low == low
        and answer.high == high
        and answer.client_low == client_low
        and answer.client_high == client_high
    )
    if not is_same:
        answer.before = 0
        answer.since = time
        answer.until = 0
    elif answer.name != name:
        answer.before = answer.name
        answer.before_since = answer.since
        answer.before_until = answer.until
        answer.since = time
        answer.until = 0
    elif answer.until < time:  # nothing is known of the time between
        answer.since = time
    answer.until = max(answer.until, time + max(life, KEPT))
    answer.client_high = client_high
    answer.client_low = client_low
    answer.high = high
    answer.low = low
    answer.name = name
    answer.time = time
    counters[ANSWERS_KEPT] += 1


@part
def keep_answer(
    counters: Counters,
    answers: AnswerRows,
    client_high: np.uint64,
    client_low: np.uint64,
    high: np.uint64,
    low: np.uint64,
    name: int,
    time: int,
    life: int,
) -> None:
    """Keep an answer for the client that asked, and for any: it may be a resolver, which asks in its own name."""
    remember(counters, answers, client_high, client_low, high, low, name, time, life)
    remember(counters, answers, np.uint64(0), np.uint64(0), high, low, name, time, life)


@part
def answer_for(
    counters: Counters,
    answers: AnswerRows,
    client_high: np.uint64,
    client_low: np.uint64,
    high: np.uint64,
    low: np.uint64,
    started: int,
) -> tuple[int, bool]:
    """The name that was asked for when this client was last given this address before it connected; 0 for none.

    With it comes whether the answer went to another client.

    An answer that came later cannot be why a flow began, nor one that is long forgotten.
    """
    if counters[ANSWERS_KEPT] == 0:
        return 0, False
    size = answers.size
    # A resolver between client and capture asks in its own name: the answer is then kept for any client (0).
    for attempt in range(2):
        c_high = client_high if attempt == 0 else np.uint64(0)
        c_low = client_low if attempt == 0 else np.uint64(0)
        slot = slot_of(c_high, c_low, high, low, size)
        for k in range(8):
            answer = answers[(slot + k) & (size - 1)]
            if answer.time == 0:
                break
            if (
                answer.low == low
                and answer.high == high
                and answer.client_low == c_low
                and answer.client_high == c_high
            ):
                if answer.since <= started <= answer.until:
                    answer.until = max(answer.until, started + KEPT)
                    return int(answer.name), attempt == 1
                if answer.before > 0 and answer.before_since <= started <= answer.before_until:
                    answer.before_until = max(answer.before_until, started + KEPT)
                    return int(answer.before), attempt == 1
                break
    return 0, False


@part
def record_address(block: Bytes, at: int, kind: int, size: int) -> tuple[np.uint64, np.uint64]:
    """The address in a record's data; zero for a record of another kind."""
    if kind == A and size == 4:
        return np.uint64(0), np.uint64(V4_MAPPED) | np.uint64(be32(block, at))
    if kind == AAAA and size == 16:
        return np.uint64(be64(block, at)), np.uint64(be64(block, at + 8))
    return np.uint64(0), np.uint64(0)


@part
def label_at(block: Bytes, base: int, at: int, end: int) -> int:
    """Where the label of a name that continues at ``at`` is, behind pointers; -1 for none that is there."""
    for _ in range(MOST_JUMPS):
        if at < 0 or at >= end:
            return -1
        length = int(block[at])
        if length <= 63:
            return at if at + 1 + length <= end else -1
        if length < 0xC0 or at + 2 > end:
            return -1
        at = base + (be16(block, at) & 0x3FFF)
    return -1


@part
def same_name(block: Bytes, base: int, one: int, other: int, end: int) -> bool:
    """Whether two names of a message, which begins at ``base``, are the same, in any case (RFC 4343)."""
    for _ in range(128):
        if one == other:
            return True
        one, other = label_at(block, base, one, end), label_at(block, base, other, end)
        if one < 0 or other < 0 or block[one] != block[other]:
            return False
        length = int(block[one])
        if length == 0 or one == other:
            return True
        for k in range(1, length + 1):
            first, second = int(block[one + k]), int(block[other + k])
            if (first + 32 if 65 <= first <= 90 else first) != (second + 32 if 65 <= second <= 90 else second):
                return False
        one, other = one + 1 + length, other + 1 + length
    return False


@part
def is_asked_for(block: Bytes, base: int, owner: int, records: int, count: int, end: int) -> bool:
    """Whether a record's owner is the question's name, or what an alias among the records leads to."""
    if same_name(block, base, owner, base + HEADER, end):
        return True
    at = records
    for _ in range(count):
        at = skip_name(block, at, end)
        if at < 0 or at + 10 > end:
            return False
        if be16(block, at) == CNAME and same_name(block, base, owner, at + 10, end):
            return True
        at += 10 + be16(block, at + 8)
    return False


@part
def take_answer(
    memory: Memory,
    answers: AnswerRows,
    client_high: np.uint64,
    client_low: np.uint64,
    high: np.uint64,
    low: np.uint64,
    name: int,
    time: int,
    lives: int,
) -> None:
    """Keep an answer, or note it where shares of the work ask each other later."""
    if memory.counters[SHARES] > 1:
        note_answer(memory, client_high, client_low, high, low, name, time, lives)
    else:
        keep_answer(memory.counters, answers, client_high, client_low, high, low, name, time, lives)


@part
def dns_message(
    memory: Memory,
    answers: AnswerRows,
    block: Bytes,
    base: int,
    end: int,
    client_high: np.uint64,
    client_low: np.uint64,
    time: int,
) -> None:
    """Keep the A and AAAA records of a response without an error, under the name of its question, for whom it went to.

    Where the message is in ``scratch``, there is room for a name before it.
    """
    if be16(block, base + 2) & 0x800F != 0x8000:
        return
    count = min(be16(block, base + 6), MOST_ANSWERS)
    if count == 0:
        return
    length = question_name(block, base + HEADER, end, memory.scratch)
    if length <= 0:
        return
    name, life = 0, np.int64(LONGEST_LIFE)
    at = skip_name(block, base + HEADER, end) + 4
    records = at
    for _ in range(count):
        owner = at
        at = skip_name(block, at, end)
        if at < 0 or at + 10 > end:
            return
        kind, lives, size = be16(block, at), np.int64(be32(block, at + 4)), be16(block, at + 8)
        if lives >= 1 << 31:  # RFC 2181 8
            lives = np.int64(0)
        if kind == CNAME:  # the name leads to the address no longer than each step of the way
            life = min(life, lives)
        lives = min(life, lives) * SECOND
        at += 10
        if at + size > end:
            return
        high, low = record_address(block, at, kind if be16(block, at - 8) == IN else np.int64(0), size)
        if (high or low) and is_asked_for(block, base, owner, records, count, end):
            if name == 0:
                name = intern(
                    memory.arena, memory.entries, memory.intern_buckets, memory.scratch, np.int64(0), np.int64(length)
                )
            take_answer(memory, answers, client_high, client_low, high, low, name, max(1, time), lives)
        at += size


@part
def dns_answers(memory: Memory, answers: AnswerRows, block: Bytes, packet: PacketRow) -> None:
    """What a datagram's DNS message says, if it is a resolver's."""
    if packet.source_port == MULTICAST_DNS or packet.source_port == LINK_LOCAL_NAMES:
        return
    base = np.int64(packet.payload)
    end = base + np.int64(packet.payload_captured)
    dns_message(memory, answers, block, base, end, packet.target_high, packet.target_low, np.int64(packet.time))
