"""Last stage: what the policy's rules say of the flows of a batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.audit.described import Described
from auditor.audit.opened import Opened, OpenedFacts
from auditor.audit.totals import Totals
from auditor.flows.oriented import address_text
from auditor.paths.path_tables import path_columns
from auditor.policy.evaluate import Evaluation
from auditor.policy.findings import Subject, networks
from auditor.tables import arrow, value_sets
from auditor.tables.columns import Texts, first_of_each, mixed
from auditor.tls.delivery import FAILURES
from auditor.tls.hello_tries import SeenHellos

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Judged:
    """A batch of flows with the verdicts of the policy's rules."""

    opened: Opened
    verdict: Array  # the worst of each flow: codes of VERDICTS
    verdicts: pa.Table  # the rows of ``verdicts``

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """The rows that the batch adds to ``flows``, ``handshakes`` and ``verdicts``."""
        located, described = self.opened.located, self.opened.located.described
        verdict = Texts(list(value_sets.VERDICTS), self.verdict)
        columns = {**described.columns, **path_columns(located.way), "verdict": verdict}
        yield "flows", arrow.build("flows", columns)
        yield "handshakes", arrow.build("handshakes", described.handshake_table())
        yield "verdicts", self.verdicts


def judge(opened: Opened, evaluation: Evaluation, totals: Totals) -> Judged:
    """A batch with the verdicts of its flows, added to ``totals``."""
    located, described = opened.located, opened.located.described
    way, scope = located.way.verdict, described.services.is_endpoint
    subjects = subject(opened)
    worst, verdicts = evaluation.batch(OpenedFacts(opened), subjects, totals.verdicts)
    totals.round_trips.add(described.rows.flows["round_trip"], way.path)
    totals.hellos.add(_hellos(described))
    totals.summary.add(way, described.tls_version, described.protocol, described.is_tls, worst, scope)
    return Judged(opened, worst, verdicts)


def _hellos(described: Described) -> SeenHellos:
    """The handshakes of a batch, with what became of their hellos."""
    rows = described.rows
    return SeenHellos(
        rows.handshakes,
        rows.handshake_flow,
        rows.flows["identifier"],
        described.handshake,
        described.ends,
        described.delivery,
        described.flows.captures,
    )


def subject(opened: Opened) -> Subject:
    """Whose flows a batch has, and the frames that show them."""
    described = opened.located.described
    ends, flows, aws = described.ends, described.rows.flows, described.services
    servers, names = _server_keys(opened), described.server_name.objects()
    _, server_flow, server_number = np.unique(servers, return_index=True, return_inverse=True)

    client_flow, client_number = first_of_each(ends.client_high, ends.client_low)
    services, regions = aws.service.objects(), aws.region.objects()
    nameless = np.array([name is None for name in services], bool)

    def server(flow: int) -> str:
        return names[flow] or address_text(int(ends.server_high[flow]), int(ends.server_low[flow]))

    def service(flow: int) -> tuple[str, str | None]:
        name = services[flow]
        if not aws.is_endpoint[flow] or name is None:
            return server(flow), regions[flow] if aws.is_endpoint[flow] else None
        return name, regions[flow]

    return Subject(
        flow_id=flows["identifier"],
        started=flows["started"],
        server=server,
        server_number=server_number,
        server_flow=server_flow,
        service=service,
        group=first_of_each(
            networks(ends.client_high, ends.client_low),
            np.where(aws.is_endpoint & ~nameless, 0, servers),
            np.where(aws.is_endpoint, aws.service.index, -1),
            np.where(aws.is_endpoint, aws.region.index, -1),
        )[1],
        client=lambda flow: address_text(int(ends.client_high[flow]), int(ends.client_low[flow])),
        client_number=client_number,
        client_flow=client_flow,
        client_high=ends.client_high,
        client_low=ends.client_low,
        frames=_frames(opened),
        captures=described.flows.captures,
    )


def _frames(opened: Opened) -> Array:
    """The frames that show each flow, 0 for none: first packet, hellos, their fate, a change of path, a request."""
    described = opened.located.described
    rows, ends, place, delivery = described.rows, described.ends, described.handshake, described.delivery
    has = described.has_handshake
    frames = np.zeros((len(rows), 7), np.int64)
    frames[:, 0] = np.where(ends.client["packets"] > 0, ends.client["first_frame"], ends.server["first_frame"])
    frames[has, 1] = rows.handshakes["client_frame"][place[has]]
    frames[has, 2] = rows.handshakes["server_frame"][place[has]]
    failed = has.copy()
    failed[has] = np.isin(delivery.outcome[place[has]], FAILURES)
    frames[failed, 3] = delivery.repeat_frame[place[failed]]
    frames[failed, 4] = delivery.reset_frame[place[failed]]
    frames[:, 5] = opened.located.way.changed_frame
    if opened.requests:
        for at, number in enumerate(rows.flows["identifier"].tolist()):
            if number in opened.requests:
                frames[at, 6] = opened.requests[number][0]["shown"]
    return frames


def _server_keys(opened: Opened) -> Array:
    """A number for each server: of its name, or of its address where it has none."""
    names, ends = opened.located.described.server_name, opened.located.described.ends
    named = np.array([name is not None for name in names.values] + [False])[names.index]
    address = mixed(ends.server_high, ends.server_low) | np.uint64(1 << 63)
    return np.where(named, names.index.astype(np.uint64), address)
