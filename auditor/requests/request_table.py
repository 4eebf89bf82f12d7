"""From flows to those whose requests may be read, and from requests to the table ``requests``."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from auditor.aws.services import Services
from auditor.decode.packet import TCP
from auditor.flows import state as S
from auditor.flows.oriented import Oriented
from auditor.flows.rows import Rows, gather
from auditor.reading.events import RequestsFound
from auditor.recognise.numbers import HTTP, HTTP2, QUIC, SMTP, TLS
from auditor.requests.cut import Wanted
from auditor.requests.inside import NO_KEYS, NOT_READ, OTHER_KEYS, FlowOpener
from auditor.tables import arrow, schema
from auditor.tables.columns import MISSING, Texts
from auditor.tls.names import suites

Array = np.ndarray[Any, Any]
NO_HANDSHAKE = "TLS, but its handshake is not in the capture"
IN_DTLS = "what is inside DTLS is not opened, with keys or without: no HTTP goes over it"
IN_ANOTHER = "what is inside TLS that another protocol carries is not opened, with keys or without"


class Candidates(NamedTuple):
    """The flows of a batch whose requests may be read, and why not, for the others."""

    wanted: Wanted
    reasons: Texts  # for each flow with requests that are not read


def candidates(inside: FlowOpener, rows: Rows, ends: Oriented, services: Services, protocol: Array) -> Candidates:
    """The flows of a batch whose requests may be read; ``protocol``: of str or None."""
    flows, shakes, at = rows.flows, rows.handshakes, rows.handshake_flow
    kind = np.full(len(rows), -1)
    # What captures hold is known sooner or later, by how they are read: nothing that is said of a flow may depend on it.
    reasons = Texts(
        [OTHER_KEYS if inside.given else NO_KEYS, NO_HANDSHAKE, NOT_READ, IN_DTLS, IN_ANOTHER],
        np.full(len(rows), MISSING),
    )
    first = np.full(len(rows), -1)
    first[at[::-1]] = np.arange(len(at))[::-1]
    for reason, over in ((0, (S.OVER_TCP, S.OVER_QUIC)), (3, (S.OVER_DTLS,)), (4, (S.OVER_OTHER,))):
        reasons.index[at[np.isin(shakes["transport"], over)]] = reason
    reasons.index[(protocol == "tls") & (first < 0)] = 1
    if inside.keys and len(at):
        known = inside.keys.known(shakes["random_high"], shakes["random_low"])
        if inside.keys.opens_rsa:
            by_rsa = [code for code, suite in suites().items() if suite.key_exchange == "RSA"]
            known |= np.isin(shakes["suite"], by_rsa)
        known &= np.isin(shakes["transport"], (S.OVER_TCP, S.OVER_QUIC))
        kind[at[known]] = np.where(shakes["transport"][known] == S.OVER_QUIC, QUIC, TLS)
    application = flows["application"]
    clear_http = np.isin(application, (HTTP, HTTP2)) & (first < 0)
    kind[clear_http & (services.is_endpoint | inside.all_clear)] = HTTP
    reasons.index[clear_http] = 2
    mail = np.array([service == "ses-smtp" for service in services.service.values] or [False])[services.service.index]
    upgraded = np.zeros(len(rows), bool)
    upgraded[at] = shakes["upgraded"] == SMTP
    kind[mail & (kind < 0) & ((application == SMTP) | upgraded)] = SMTP
    return Candidates(_wanted(rows, ends, kind, first), reasons)


def may_be_read(rows: Rows) -> Array:
    """The flows of a batch among which are all whose requests may be read without keys."""
    some = np.isin(rows.flows["application"], (HTTP, HTTP2, SMTP))
    some[rows.handshake_flow[rows.handshakes["upgraded"] == SMTP]] = True
    return np.flatnonzero(some)


def chosen_before(chosen: RequestsFound, rows: Rows, ends: Oriented) -> Candidates:
    """The candidates of a batch that was kept, as they were when it was first described."""
    at = rows.handshake_flow
    first = np.full(len(rows), -1)
    first[at[::-1]] = np.arange(len(at))[::-1]
    return Candidates(_wanted(rows, ends, chosen.kind, first), Texts(chosen.reasons, chosen.reason))


def _wanted(rows: Rows, ends: Oriented, kind: Array, first: Array) -> Wanted:
    """The flows of a batch that have a kind; ``first``: the number of each flow's first handshake, -1 for none."""
    flows, shakes = rows.flows, rows.handshakes
    chosen = np.flatnonzero(kind >= 0)
    nothing = np.zeros(len(chosen), shakes.dtype)
    shake: Array = gather(shakes, np.maximum(first[chosen], 0)) if len(shakes) else nothing
    has = (first[chosen] >= 0) & np.isin(kind[chosen], (TLS, QUIC))
    return Wanted(
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
        randoms=_randoms(shakes, rows.handshake_flow, chosen),
    )


def _randoms(shakes: Array, flow: Array, chosen: Array) -> Array:
    """The client randoms of the chosen flows' handshakes."""
    of_flow: dict[int, list[tuple[int, int]]] = {at: [] for at in chosen.tolist()}
    some = np.isin(flow, chosen)
    high, low = shakes["random_high"][some], shakes["random_low"][some]
    for at, *random in zip(flow[some].tolist(), high.tolist(), low.tolist(), strict=True):
        of_flow[at].append((random[0], random[1]))
    randoms = np.empty(len(chosen), object)
    randoms[:] = list(of_flow.values())
    return randoms


def requests_table(requests: Mapping[int, Sequence[dict[str, Any]]]) -> pa.Table:
    """The table ``requests``."""
    rows = [row for in_flow in requests.values() for row in in_flow]
    return arrow.build(
        "requests", {column.name: [row[column.name] for row in rows] for column in schema.TABLES["requests"]}
    )
