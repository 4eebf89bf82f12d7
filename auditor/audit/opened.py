"""Third stage: the requests inside the flows of a batch, where there are keys or nothing is encrypted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auditor.audit.keeping import FlowContents
from auditor.audit.located import Located, LocatedFacts
from auditor.policy.facts import fact
from auditor.recognise.numbers import SMTP
from auditor.requests.inside import Carrier, FlowOpener
from auditor.tables.columns import Texts
from auditor.tls.certificates import Certificates
from auditor.tls.revealed import reveal

Array = np.ndarray[Any, Any]
Requests = Mapping[int, Sequence[dict[str, Any]]]  # rows of ``requests``, by flow, in order


@dataclass(frozen=True, eq=False, repr=False)
class Opened:
    """A batch of flows with the requests that were read inside them."""

    located: Located
    requests: Requests
    unseen: Texts  # why requests of a flow are not seen, or not all of them

    def __len__(self) -> int:
        return len(self.located)


def unopened(located: Located) -> Opened:
    """A batch of which no flow's requests may be read."""
    return Opened(located, {}, located.described.candidates.reasons)


def revealed(located: Located, inside: FlowOpener, certificates: Certificates) -> Located:
    """A batch with what keys reveal of its handshakes."""
    described, wanted = located.described, located.described.candidates.wanted
    flows = zip(wanted.index.tolist(), wanted.identifier.tolist(), strict=True)
    found = {
        int(described.handshake[at]): inside.revealed[number]
        for at, number in flows
        if number in inside.revealed and described.handshake[at] >= 0
    }
    if not found:
        return located
    return replace(located, described=replace(described, handshakes=reveal(described.handshakes, found, certificates)))


def opened(
    located: Located, requests: Requests, failure: str | None, inside: FlowOpener, known: Mapping[int, FlowContents]
) -> Opened:
    """A batch with the requests of its capture, each completed by what its flow says; ``failure``: why there are none.

    ``known``: what was found inside of flows before.
    """
    described, paths = located.described, located.way.verdict.path.objects()
    wanted, ends = described.candidates.wanted, described.ends
    names = described.server_name.objects()
    service, region = described.services.service.objects(), described.services.region.objects()
    mine = {}
    for at, number in zip(wanted.index.tolist(), wanted.identifier.tolist(), strict=True):
        if number in requests:
            client = int(ends.client_high[at]), int(ends.client_low[at])
            carrier = Carrier(client, str(names[at]), paths[at], service[at], region[at])
            mine[number] = [inside.related(row, carrier) for row in requests[number]]
    reasons = described.candidates.reasons
    codes, index = {text: code for code, text in enumerate(reasons.values)}, reasons.index.copy()
    looked = zip(wanted.index.tolist(), wanted.identifier.tolist(), wanted.kind.tolist(), wanted.randoms, strict=True)
    for at, number, kind, randoms in looked:
        if number in known:
            index[at] = codes.setdefault(known[number].unseen, len(codes))
        elif kind != SMTP or number in mine:
            lacking = inside.why_not_all(number, failure, some=number in mine)
            if lacking is None and number not in mine:
                lacking = inside.why_nothing(number, kind, randoms)
            index[at] = codes.setdefault(lacking, len(codes))
    return Opened(located, mine, Texts(list(codes), index))


def _connect_status(row: dict[str, Any]) -> int:
    """How a proxy answered a request for a way through it, 0 for not at all; 200 for any other request."""
    return 200 if row["method"] != "CONNECT" else row["status"] or 0


class OpenedFacts(LocatedFacts):
    """What rules may ask of the requests inside flows, besides."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened.located)
        self.opened = opened

    @fact
    def requests(self) -> Array:
        """Lists of requests as ``requests.inside`` completes them; None where none was seen."""
        requests = np.full(len(self.opened), None, object)
        if self.opened.requests:
            for at, number in enumerate(self.described.rows.flows["identifier"].tolist()):
                requests[at] = self.opened.requests.get(number)
        return requests

    @fact
    def proxy_refused(self) -> Array:
        """All that a flow asked for is a way through a proxy (CONNECT, RFC 9110 9.3.6), which did not open one."""
        refused = np.zeros(len(self.opened), bool)
        if self.opened.requests:
            for at, number in enumerate(self.described.rows.flows["identifier"].tolist()):
                statuses = [_connect_status(row) for row in self.opened.requests.get(number) or ()]
                refused[at] = bool(statuses) and not any(200 <= status < 300 for status in statuses)
        return refused

    @fact
    def requests_reason(self) -> Texts:
        """Why requests are not seen, or not all; None where the flow has none that could be, or they were read."""
        return self.opened.unseen
