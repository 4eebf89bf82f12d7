"""Requests on their way from flows to tables and rules: which flows can be opened, and what was found in them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from auditor.aws.names import endpoint, host_of
from auditor.border.words import agreed, counted
from auditor.decode import frames
from auditor.machine.memory import REQUESTS, Ceiling, ceiling
from auditor.reading.sources import Source, again, is_same
from auditor.recognise.numbers import QUIC, TLS
from auditor.requests.cut import Wanted
from auditor.requests.keys import Keys
from auditor.requests.signing import new_salt
from auditor.tls.revealed import Revealed

if TYPE_CHECKING:
    from auditor.requests.decrypt import Dissected, Stage
    from auditor.requests.opener import Opener

Array = np.ndarray[Any, Any]

NOT_KEPT = "standard input was too large to be kept and read a second time: save the capture to a file"
NO_KEYS = "requests are inside TLS: the client's key log (--keylog FILE) or secrets in the pcapng would show them"
OTHER_KEYS = "requests are inside TLS, and the keys given are those of other sessions"
TOO_MANY = "more flows than are kept waiting for their requests"
NOTHING_INSIDE = "it could be read, but holds no whole HTTP request"
DO_NOT_FIT = "requests are inside TLS, and the keys given do not fit this session"
LACKING = "requests are inside TLS, and of this session {}"
ONE_SIDE = "requests are inside TLS, and the keys given open only the {}'s side"
NOT_READ = "requests in clear are read only of flows to AWS; --http reads them of all"
NOT_ALL = "not all of its requests were read: {}"
BURST_SECONDS = 300
REQUEST = 4096  # bytes that a request takes until it is written


@dataclass(eq=False, repr=False)
class KeyUse:
    """How one access key is used, in all captures of an audit."""

    clients: set[Any] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)


@dataclass(eq=False, repr=False)
class Refusals:
    """When a client's requests to a server were refused for their signature or token, in nanoseconds."""

    times: list[int] = field(default_factory=list)

    def most(self) -> int:
        """The most within BURST_SECONDS."""
        times, first, most = sorted(self.times), 0, 0
        for last, time in enumerate(times):
            while time - times[first] > BURST_SECONDS * 1_000_000_000:
                first += 1
            most = max(most, last - first + 1)
        return most


class Carrier(NamedTuple):
    """What the flow that carried a request says."""

    client: tuple[int, int]
    server: str
    path: str
    service: str | None
    region: str | None


REFUSED = ("SignatureDoesNotMatch", "InvalidSignatureException", "ExpiredToken", "ExpiredTokenException")


@dataclass(eq=False, repr=False)
class FlowOpener:
    """Opens flows, capture after capture. ``all_clear``: requests in clear of flows that are not to AWS too."""

    keys: Keys = field(default_factory=Keys)
    all_clear: bool = False
    salt: bytes = field(default_factory=new_salt, repr=False)  # of what stands for access keys
    notes: list[str] = field(default_factory=list)
    tshark: str | None = None  # its version, where it was used
    failed: bool = False  # whether flows were to be opened, and could not be
    given: bool = False  # whether there were keys from the beginning, not only those that captures hold
    _learned: dict[str, int] = field(default_factory=dict)  # secrets taken from each capture
    _sides: set[tuple[int, bool]] = field(default_factory=set)  # flows of the last capture that were opened, by side
    revealed: dict[int, Revealed] = field(
        default_factory=dict
    )  # of flows of the last capture: their encrypted handshakes
    stage: "Stage | None" = None  # how far it is, while flows are opened
    # For the time until tshark has dissected; may be called several times.
    meanwhile: Callable[[], object] = lambda: None
    begun: "Opener | None" = None  # before it is known whether there is something for it
    memory: "Ceiling" = field(default_factory=ceiling)  # of the audit
    partial: dict[int, str] = field(default_factory=dict)  # of flows of the last capture: why requests may be lacking
    _uses: dict[str, KeyUse] = field(default_factory=dict)
    _refusals: dict[tuple[Any, str], Refusals] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.given = bool(self.keys)

    def _opener(self) -> "Opener | None":
        """What opens flows with the keys that there are now; None where there is no tshark."""
        if self.begun is None or self.begun.private_keys != self.keys.private_keys:
            from auditor.requests import opener

            self.close()
            self.begun = opener.begin(self.keys.private_keys, self.memory.total)
        return self.begun

    def close(self) -> None:
        """End what was begun."""
        if self.begun is not None:
            self.begun.close()
            self.begun = None

    def learn(self, capture: str, secrets: Sequence[bytes]) -> None:
        """Take in secrets that a pcapng holds (``secrets`` grows while it is read), and what key logs have got since."""
        for text in secrets[self._learned.get(capture, 0) :]:
            self.keys.add(f"{capture} (secrets in the pcapng)", [text])
        self._learned[capture] = len(secrets)

    def all_notes(self) -> list[str]:
        """What a person should know of key logs and of opening TLS, a sentence each."""
        wrong = [
            f"{log.name}: {log.wrong} of {log.lines} {agreed(log.lines, 'line')} {agreed(log.wrong, 'is no secret', 'are no secrets')} of TLS sessions"
            for log in self.keys.logs
            if log.wrong
        ]
        left_out = [
            f"{log.name}: {counted(log.left_out, 'line')} of secrets {agreed(log.left_out, 'was', 'were')} left out for lack of memory: give --memory a larger size"
            for log in self.keys.logs
            if log.left_out
        ]
        return [*wrong, *left_out, *self.notes]

    def opened(self, sources: Sequence[Source], wanted: Wanted) -> tuple[list[dict[str, Any]], str | None]:
        """The requests in the wanted flows of captures that were read to their ends, or why there are none."""
        from auditor.requests import attempts, tshark

        self.revealed, self.partial = {}, {}
        dissected = attempts.opened(wanted, self.keys, partial(self._attempt, sources))
        if dissected.failure == NOT_KEPT:
            return [], NOT_KEPT
        self.tshark, self.failed = tshark.version(), self.failed or dissected.failure is not None
        self.notes += [note for note in [*dissected.notes, dissected.failure] if note and note not in self.notes]
        identifiers, captures = wanted.identifier.tolist(), [source.item.name for source in sources]
        self._sides = {(identifiers[flow], is_client) for flow, is_client in dissected.opened}
        self.revealed = {identifiers[flow]: entry for flow, entry in dissected.revealed.items()}
        self.partial = {identifiers[flow]: why for flow, why in dissected.partial.items()}
        for row in dissected.requests:
            row["flow_id"], row["shown"] = identifiers[row.pop("flow")], row["frame"]
            row["capture"] = captures[frames.capture(row["shown"])]
            row["frame"], row["where"] = frames.number(row["shown"]), frames.words(row["shown"], captures)
        return dissected.requests, dissected.failure

    def _attempt(self, sources: Sequence[Source], wanted: Wanted, number: int) -> "Dissected":
        """What one more reading of the captures finds in flows by the secrets of an attempt."""
        from auditor.reading.merging import Merging
        from auditor.requests import tshark
        from auditor.requests.decrypt import Dissected, Stage, dissect

        second = again(sources, (int(wanted.started.min()), int(wanted.ended.max())))
        if second is None:
            return Dissected(failure=NOT_KEPT)
        self.stage = stage = Stage(len(wanted))
        try:
            if (opener := self._opener()) is None:
                return Dissected(failure=tshark.missing())
            randoms = [random for of_flow in wanted.randoms for random in of_flow]
            return dissect(
                Merging(*second),
                lambda: is_same(sources, second[0]),
                wanted,
                self.keys.text(randoms, number),
                self.salt,
                opener,
                stage,
                self.meanwhile,
                self.memory.part(REQUESTS) // REQUEST,
            )
        finally:
            self.stage = None
            self.close()
            for one in second[0]:
                one.item.forget()

    def why_not_all(self, flow: int, failure: str | None, *, some: bool) -> str | None:
        """Why requests in a flow of the last capture are lacking, or may be; None where all are there. ``some``: whether any is."""
        why = failure or self.partial.get(flow)
        return why if why is None or not some else NOT_ALL.format(why)

    def why_nothing(self, flow: int, kind: int, randoms: Sequence[tuple[int, int]]) -> str:
        """Why a flow of the last capture shows no request though it was looked into."""
        if kind not in (TLS, QUIC):
            return NOTHING_INSIDE
        sides = [is_client for is_client in (True, False) if (flow, is_client) in self._sides]
        if len(sides) > 1:
            return NOTHING_INSIDE
        if sides:
            return ONE_SIDE.format("client" if sides[0] else "server")
        lacking = self.keys.lacking(randoms)
        return DO_NOT_FIT if lacking is None else LACKING.format(lacking)

    def related(self, request: dict[str, Any], carrier: Carrier) -> dict[str, Any]:
        """A request completed by what its flow says, and by others: of the same access key, of the same client."""
        where = endpoint(host_of(request["authority"]))
        signed_at = request["signed_at"]
        row = request | {
            "service": where.service if where is not None else carrier.service,
            "region": (where.region if where is not None else None) or carrier.region,
            "is_aws": where is not None and not where.customer,
            "clock_skew_s": None if signed_at is None else round(signed_at - request["time"] / 1e9, 3),
        }
        if row["credential_hash"] is not None:
            use = self._uses.setdefault(row["credential_hash"], KeyUse())
            use.clients.add(carrier.client)
            use.paths.add(carrier.path)
            row["use"] = use
        if row["status"] in (400, 401, 403) and row["error_code"] in REFUSED:
            refusals = self._refusals.setdefault((carrier.client, carrier.server), Refusals())
            refusals.times.append(row["time"])
            row["refusals"] = refusals
        return row


def by_flow(rows: list[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Requests by flow, each flow's in order."""
    flows: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["flow_id"], row["time"], row["shown"])):
        flows.setdefault(row["flow_id"], []).append(row)
    yield from flows.items()
