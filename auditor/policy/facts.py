"""What checks may ask of flows, each combination once."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.tables.columns import Texts, first_of_each

Array = np.ndarray[Any, Any]
DAY = 86_400_000_000_000  # nanoseconds
# Three-valued columns.
NO, YES, UNKNOWN = 0, 1, -1


@dataclass
class Facts:
    """What checks may ask of a batch of flows. Three-valued columns are NO, YES or UNKNOWN."""

    day: Array  # when the flow began, in days since 1970, UTC
    in_scope: Array  # to an endpoint of an AWS service
    is_pinpoint: Array
    is_tls: Array
    has_handshake: Array
    version: Array  # rank in VERSION_ORDER; -1: none negotiated (or a version nobody knows)
    version_offered: Array
    negotiated: Array  # a ServerHello was seen
    version_name: Array
    version_offered_name: Array
    forward_secrecy: Array
    forward_secrecy_reason: Array
    offers_forward_secrecy: Array
    protocol: Array  # of str or None
    has_payload: Array
    path: Array
    path_confidence: Array
    path_detail: Array
    path_seen: Array  # of each direction's packets, or a row about them: not by addresses and routes alone
    asymmetric: Array
    path_over: Array  # path of what carries a VPN; None where that is not known, or it is none
    path_changed: Array  # what the path changed from, and when, in words; None where it did not
    source_outside: Array
    private_dns_missing: Array  # the endpoint that the name should have led to
    other_region: Array
    disagreement: Array  # what a witness says otherwise
    service: Array
    in_region: Array  # YES: both ends are inside AWS as far as the capture shows
    imitates: Array
    server_name: Array
    status_reason: Array
    upgrade: Array  # whether TLS was offered within another protocol and not used; None where it was not
    hello_outcome: Array  # codes of tables.OUTCOMES
    hello_is_large: Array  # more than one segment
    hello_reason: Array  # what became of a hello that was not answered
    suite: Array  # negotiated, by its IANA name
    suites_offered: Array  # of texts with spaces between
    group: Array
    signature_scheme: Array  # of the server's key exchange, to TLS 1.2
    post_quantum_kind: Array
    post_quantum_offered: Array
    compression: Array  # method chosen, 0 for none
    extended_master_secret: Array
    secure_renegotiation: Array
    authentication: Array
    certificate_key: Array  # type of the server's key, and its size or curve, as "rsa 2048"; None where it is not seen
    certificate_weak: Array  # weak hash in its signature
    certificate_matches: Array
    certificate_valid: Array
    requests: Array  # of lists of requests as ``requests.columns`` completes them; None where none was seen
    requests_reason: Array  # why requests are not seen; None where the flow has none that could be

    def __len__(self) -> int:
        return len(self.day)

    def some(self, at: Array) -> "Facts":
        """The facts at some places."""
        return Facts(**{name: getattr(self, name)[at] for name in NAMES})


NAMES = tuple(Facts.__dataclass_fields__)


def _codes(column: "Array | Texts") -> Array:
    """Numbers that are equal only where a column's values are; lists are taken to be all different."""
    if isinstance(column, Texts):
        return column.index
    if column.dtype != object:
        return column
    codes, given = np.zeros(len(column), np.int64), np.flatnonzero(column != None)  # noqa: E711
    known: dict[str, int] = {}
    for at in given.tolist():
        value = column[at]
        codes[at] = known.setdefault(value, at + 1) if isinstance(value, str) else at + 1
    return codes


def distinct(columns: "dict[str, Array | Texts]") -> tuple[Facts, Array]:
    """The distinct combinations of facts among the rows of ``columns``, and the number of each row's combination.

    Flows are many and combinations few: checks look at these.
    """
    first, index = first_of_each(*(_codes(columns[name]) for name in NAMES))
    taken = {}
    for name in NAMES:
        column = columns[name]
        taken[name] = (
            Texts(column.values, column.index[first]).objects() if isinstance(column, Texts) else column[first]
        )
    return Facts(**taken), index
