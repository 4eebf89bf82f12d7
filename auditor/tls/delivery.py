"""Whether the ClientHello got through: what happened to it on the way, by the TCP timeline.

With post-quantum key shares a ClientHello is larger than one segment, and there are middleboxes and servers that drop,
stall or reset what they do not expect. The evidence is in the packets: how large the hello was against the maximum
segment size, which of its bytes were acknowledged (RFC 9293 3.10.7.4), what was sent again, and who sent a RST. A RST
whose TTL differs from that of the server's other packets comes from something between.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.border.words import agreed
from auditor.decode.packet import FIN, RST
from auditor.flows import state as S
from auditor.recognise.numbers import spoken_names
from auditor.tables.columns import Numbers, Texts
from auditor.tables.value_sets import OUTCOMES

Array = np.ndarray[Any, Any]
RECORD_HEADER = 5
# RFC 9293 3.7.1: what may be sent where no MSS option was seen.
DEFAULT_MSS = 536

(
    ANSWERED,
    RETRY,
    ALERT,
    RESET_BY_SERVER,
    RESET_ON_THE_WAY,
    CLOSED_BY_SERVER,
    GIVEN_UP,
    LOST,
    STALLED,
    ENDED,
    NOT_TLS,
    NOT_KNOWN,
) = range(len(OUTCOMES))
LONG = 5_000_000_000  # nanoseconds without an answer that are no mere delay
# Outcomes in which a hello that is too large may be the cause.
FAILURES = (RESET_BY_SERVER, RESET_ON_THE_WAY, CLOSED_BY_SERVER, GIVEN_UP, LOST, STALLED)


@dataclass(eq=False, repr=False)
class Delivery:
    """For each handshake; ``mss`` 0 and ``acknowledged`` -1 where they are not known."""

    outcome: Array  # codes of OUTCOMES
    answer: Array  # what answered in place of TLS, see recognise.numbers
    sent: Array  # bytes that the client sent up to the ServerHello's time, as far as the capture shows
    acknowledged: Array  # of them, by the server
    mss: Array  # the smaller of both sides' maximum segment sizes
    repeats: Array
    is_large: Array  # longer than one segment of that size, or seen in several
    repeat_frame: Array
    reset_frame: Array

    def columns(self, over_tcp: Array) -> dict[str, Any]:
        """The columns of ``handshakes`` about delivery; of datagrams none is acknowledged."""
        answers = [None if name is None else f"{OUTCOMES[NOT_TLS]}: {name}" for name in spoken_names()]
        return {
            "hello_outcome": Texts(
                [*OUTCOMES, *answers], np.where(self.outcome == NOT_TLS, len(OUTCOMES) + self.answer, self.outcome)
            ),
            "hello_repeats": Numbers(self.repeats, ~over_tcp),
            "hello_acknowledged": Numbers(self.acknowledged, ~over_tcp | (self.acknowledged < 0)),
            "mss": Numbers(self.mss, self.mss == 0),
        }

    def reason(self, at: int) -> str:
        """What happened, in words."""
        size, count = int(self.sent[at]), int(self.repeats[at])
        words = f"ClientHello of {size} bytes"
        if self.mss[at]:
            words += f" (maximum segment size {self.mss[at]})"
        words += f": {OUTCOMES[self.outcome[at]]}"
        if count:
            words += f", {count} {agreed(count, 'segment')} sent again"
        if self.acknowledged[at] >= 0:
            acknowledged = min(size, int(self.acknowledged[at]))
            words += f", {acknowledged} {agreed(acknowledged, 'byte')} acknowledged"
        return words


def deliveries(rows: Array, flows: Array, client: Array, server: Array, no_early_data: Array) -> Delivery:
    """Handshake rows with their flows and the sides of these; over datagrams an answer alone tells (else ``not known``).

    ``no_early_data``: where the ClientHello is known not to offer it.
    """
    start = (client["initial_sequence"].astype(np.int64) + np.where(client["syn"] != 0, 1, 0)) & 0xFFFFFFFF
    whole = rows["client_bytes"].astype(np.int64) + RECORD_HEADER
    sent = (client["next_sequence"].astype(np.int64) - start) & 0xFFFFFFFF
    sent = np.where(sent > 1 << 20, 0, sent)
    sent = np.where(rows["client_bytes"] > 0, whole, sent)
    acknowledged = (server["acknowledged"].astype(np.int64) - start) & 0xFFFFFFFF
    acknowledged = np.where(
        (server["packets"] == 0) | (client["syn"] == 0) | (acknowledged > 1 << 20), -1, np.minimum(acknowledged, sent)
    )
    one, two = client["mss"].astype(np.int64), server["mss"].astype(np.int64)
    mss = np.where((one > 0) & (two > 0), np.minimum(one, two), np.maximum(one, two))
    is_large = (rows["client_segments"] > 1) | (
        sent > np.where(mss > 0, mss, np.where(client["syn"] != 0, DEFAULT_MSS, 1 << 20))
    )
    return Delivery(
        _outcomes(rows, flows, client, server, sent, acknowledged, no_early_data),
        flows["answer"].astype(np.int64),
        sent,
        acknowledged,
        mss,
        client["repeats"].astype(np.int64),
        is_large,
        client["repeat_frame"].copy(),  # a view would keep all of the rows for as long as the flows wait
        server["reset_frame"].copy(),
    )


def _outcomes(
    rows: Array,
    flows: Array,
    client: Array,
    server: Array,
    sent: Array,
    acknowledged: Array,
    no_early_data: Array,
) -> Array:
    """What became of each hello: the first of these conditions that holds."""
    seen = rows["seen"].astype(np.int64)

    def has(bits: int) -> Array:
        return np.asarray((seen & bits) != 0)

    reset = (server["tcp_flags"] & RST) != 0
    other_ttl = reset & (server["ttl"] != server["reset_ttl"]) & (server["ttl"] != 0)
    alert = (rows["alert"] != S.NO_ALERT) & (rows["alert_side"] != rows["client_side"])
    gave_up = (client["tcp_flags"] & (FIN | RST)) != 0
    answer_seen = server["packets"] > 0
    is_lost = answer_seen & (acknowledged >= 0) & (acknowledged < sent) & (client["repeats"] > 0)
    stalled = answer_seen & (acknowledged >= sent) & (sent > 0)
    silent = (server["lost"] == 0) & (server["payload"] == 0)
    waited = (flows["closed"] & S.WAITED != 0) | (flows["ended"] - rows["started"] >= LONG)
    # A client goes on by what its server has chosen, also where the capture has lost that (RFC 8446 2, RFC 5246 7.3).
    went_on = has(S.SEEN_CLIENT_CCS | S.SEEN_CLIENT_FINISHED | S.SEEN_EARLY_DATA) & no_early_data
    conditions = (
        (has(S.SEEN_CLIENT_INVALID) | (sent == 0), NOT_KNOWN),
        (has(S.SEEN_SERVER_HELLO | S.SEEN_SERVER_INVALID | S.SEEN_SERVER_CUT), ANSWERED),
        (has(S.SEEN_RETRY), RETRY),
        (rows["transport"] != S.OVER_TCP, NOT_KNOWN),  # what follows is TCP's
        (flows["answer"] != 0, NOT_TLS),
        (went_on, ANSWERED),
        (alert, ALERT),
        (
            (server["lost"] == S.LOST) | (server["lost"] != 0) & (server["payload"] > 0),
            NOT_KNOWN,
        ),  # the answer may be in what was not captured
        (other_ttl, RESET_ON_THE_WAY),
        (reset, RESET_BY_SERVER),
        ((server["tcp_flags"] & FIN) != 0, CLOSED_BY_SERVER),
        (is_lost, LOST),
        (gave_up & answer_seen & silent, GIVEN_UP),
        (stalled & silent & waited, STALLED),
        (stalled & silent, ENDED),
    )
    return np.select([holds for holds, _ in conditions], [code for _, code in conditions], NOT_KNOWN)
