"""From flows to those whose requests may be read, and from requests to the table ``requests``."""

from typing import Any

import numpy as np
import pyarrow as pa

from auditor.aws.services import Services
from auditor.decode.packet import TCP
from auditor.flows import state as S
from auditor.flows.oriented import Oriented
from auditor.flows.rows import Rows, gather
from auditor.recognise.numbers import HTTP, HTTP2, QUIC, SMTP, TLS
from auditor.requests.cut import Wanted
from auditor.requests.inside import NO_KEYS, NOT_READ, OTHER_KEYS, Inside
from auditor.tables import arrow, schema
from auditor.tls.names import suites

Array = np.ndarray[Any, Any]


def candidates(
    inside: Inside, rows: Rows, ends: Oriented, found: Services, protocol: Array
) -> tuple[Wanted | None, Array]:
    """The flows of a batch whose requests may be read, None where there are none; and why not, for the others."""
    flows, shakes, at = rows.flows, rows.handshakes, rows.handshake_flow
    kind = np.full(len(rows), -1)
    reasons = np.full(len(rows), None, object)
    first = np.full(len(rows), -1)
    first[at[::-1]] = np.arange(len(at))[::-1]
    reasons[at] = OTHER_KEYS if inside.keys else NO_KEYS
    reasons[(protocol == "tls") & (first < 0)] = "TLS, but its handshake is not in the capture"
    if inside.keys and len(at):
        known = inside.keys.known(shakes["random_high"], shakes["random_low"])
        if inside.keys.opens_rsa:
            by_rsa = [code for code, suite in suites().items() if suite.key_exchange == "RSA"]
            known |= np.isin(shakes["suite"], by_rsa)
        known &= shakes["transport"] != S.OVER_DTLS
        kind[at[known]] = np.where(shakes["transport"][known] == S.OVER_QUIC, QUIC, TLS)
    application = flows["application"]
    clear_http = np.isin(application, (HTTP, HTTP2)) & (first < 0)
    kind[clear_http & (found.is_endpoint | inside.all_clear)] = HTTP
    reasons[clear_http] = NOT_READ
    mail = np.array([service == "ses-smtp" for service in found.service.values] or [False])[found.service.index]
    upgraded = np.zeros(len(rows), bool)
    upgraded[at] = shakes["upgraded"] == SMTP
    kind[mail & (kind < 0) & ((application == SMTP) | upgraded)] = SMTP
    chosen = np.flatnonzero(kind >= 0)
    if not len(chosen):
        return None, reasons
    nothing = np.zeros(len(chosen), shakes.dtype)
    shake: Array = gather(shakes, np.maximum(first[chosen], 0)) if len(shakes) else nothing
    has = (first[chosen] >= 0) & np.isin(kind[chosen], (TLS, QUIC))
    wanted = Wanted(
        index=chosen,
        identifier=flows["identifier"][chosen],
        kind=kind[chosen],
        protocol=flows["ip_protocol"][chosen],
        client_high=ends.client_high[chosen],
        client_low=ends.client_low[chosen],
        client_port=ends.client_port[chosen],
        server_high=ends.server_high[chosen],
        server_low=ends.server_low[chosen],
        server_port=ends.server_port[chosen],
        # What was spoken before TLS is left out: nobody has to know that protocol.
        started=np.where(
            has & (shake["upgraded"] != 0) & (flows["ip_protocol"][chosen] == TCP),
            shake["started"],
            flows["started"][chosen],
        ),
        ended=flows["ended"][chosen],
        randoms=_randoms(shakes, at, len(rows))[chosen],
    )
    return wanted, reasons


def _randoms(shakes: Array, flow: Array, count: int) -> Array:
    """The client randoms of each flow's handshakes."""
    found = np.empty(count, object)
    found[:] = [[] for _ in range(count)]
    for at, high, low in zip(flow.tolist(), shakes["random_high"].tolist(), shakes["random_low"].tolist(), strict=True):
        found[at].append((high, low))
    return found


def requests_table(requests: dict[int, list[dict[str, Any]]]) -> pa.Table:
    """The table ``requests``."""
    rows = [row for _, found in sorted(requests.items()) for row in found]
    return arrow.build(
        "requests", {column.name: [row[column.name] for row in rows] for column in schema.TABLES["requests"]}
    )
