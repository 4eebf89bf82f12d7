"""From the kernels' handshake rows to the table ``handshakes``.

What a handshake negotiated depends on few things: the shapes of its hellos, the ServerKeyExchange, and which messages
were seen. It is worked out once for each combination and handed to all rows that share it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor import tables
from auditor.columns import MISSING, Numbers, Texts, distinct, spread
from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.tls.certificates import Certificate, Certificates, Chain
from auditor.tls.dh_groups import group_of
from auditor.tls.hello_kernels import CUT_HELLO, INVALID, NO_KEYS, NO_RECORD, NO_SALT, TOO_LONG
from auditor.tls.names import (
    Suite,
    alert_name,
    group_name,
    groups,
    is_post_quantum,
    signature_name,
    suite_name,
    suites,
    version_name,
)
from auditor.tls.protocols import PROTOCOL_NAMES
from auditor.tls.quic_versions import version_text
from auditor.tls.records import NOTHING_SEEN
from auditor.tls.shapes import (
    ENCRYPT_THEN_MAC,
    EXTENDED_MASTER_SECRET,
    HEARTBEAT_EXTENSION,
    PRE_SHARED_KEY,
    RENEGOTIATION_INFO,
    VISIBLE,
    ClientShape,
    ServerShape,
    printable,
    words,
)

Array = np.ndarray[Any, Any]
OBSOLETE_GROUPS = {0x4138}  # CECPQ2, an experiment that ended in 2020; drafts say so in their names
FULL = S.SEEN_CERTIFICATE | S.SEEN_KEY_EXCHANGE | S.SEEN_HELLO_DONE

# The bits of ``seen`` that what was negotiated depends on.
DECIDING = (
    S.SEEN_CLIENT_HELLO
    | S.SEEN_SERVER_HELLO
    | S.SEEN_RETRY
    | S.SEEN_SERVER_CCS
    | FULL
    | S.SEEN_SESSION_ECHO
    | S.SEEN_SERVER_SESSION
    | S.SEEN_TICKET_OFFER
    | S.SEEN_ORIGINAL
    | S.SEEN_EARLY_DATA
)


@dataclass(frozen=True)
class Outcome:
    """What one combination of hellos and messages negotiated; the fields are columns of ``handshakes``."""

    tls_version: str | None = None
    cipher_suite: str | None = None
    cipher_suite_id: int | None = None
    key_exchange: str | None = None
    key_exchange_group: str | None = None
    signature_scheme: str | None = None
    forward_secrecy: bool | None = None
    forward_secrecy_reason: str | None = None
    post_quantum: bool | None = None
    alpn: str | None = None
    ja3s: str | None = None
    resumed: bool | None = None
    resumption: str | None = None
    compression: int | None = None
    extended_master_secret: bool | None = None
    secure_renegotiation: bool | None = None
    encrypt_then_mac: bool | None = None
    heartbeat: bool | None = None
    post_quantum_kind: str | None = None
    authentication: str | None = None


def resumption(seen: int, server: ServerShape) -> tuple[bool | None, str | None]:
    """Whether a handshake resumed an earlier session, and by what."""
    if server.version == 2:
        return None, None
    if server.is_tls13:
        if PRE_SHARED_KEY not in server.extensions:
            return False, None
        return True, "psk_dhe" if server.group is not None else "psk"
    if seen & FULL:
        return False, None
    abbreviated = bool(seen & S.SEEN_SERVER_CCS)  # RFC 5246 7.3: ChangeCipherSpec right after the ServerHello
    if not abbreviated and not seen & S.SEEN_SESSION_ECHO:
        return (None, None) if seen & S.SEEN_TICKET_OFFER else (False, None)
    # RFC 5077 3.4: with a ticket, the session id is echoed only to say that the ticket was accepted.
    return True, "ticket" if seen & S.SEEN_TICKET_OFFER else "session_id"


def forward_secrecy(server: ServerShape, resumed: bool | None, seen: int) -> tuple[bool | None, str]:
    """Whether forward secrecy was achieved, and why (DESIGN: facts, not what a suite's name promises)."""
    if server.is_tls13:
        if server.group is not None:
            early = "; early data is not covered" if seen & S.SEEN_EARLY_DATA else ""
            return True, f"TLS 1.3 key share in the ServerHello{early}"
        return False, "TLS 1.3 with a pre-shared key alone (psk_ke)"
    suite = suites().get(server.suite)
    if suite is None or suite.ephemeral is None:
        return None, "the suite does not say how keys are exchanged"
    if not suite.ephemeral:
        return False, f"{suite.key_exchange} key exchange"
    if not resumed:
        return True, f"{suite.key_exchange} key exchange"
    if seen & S.SEEN_ORIGINAL:
        return True, f"resumed from a handshake with {suite.key_exchange}"
    return None, "resumed; the first handshake is not in the capture"


def outcome(seen: int, server: ServerShape | None, curve: int, curve_sig: int, dh_bits: int, dh_sig: int) -> Outcome:
    """What was negotiated, as far as it was seen."""
    if server is None or not seen & (S.SEEN_SERVER_HELLO | S.SEEN_RETRY):
        return Outcome(forward_secrecy_reason="no ServerHello was seen")
    if server.version == 2:
        return Outcome(tls_version="SSL 2.0", forward_secrecy=False, forward_secrecy_reason="SSL 2.0 has none")
    was_resumed, how = resumption(seen, server)
    secret, why = forward_secrecy(server, was_resumed, seen)
    suite = suites().get(server.suite)
    group: int | None = server.group
    group_text = group_name(group) if group is not None else None
    scheme = None
    exchange = suite.key_exchange if suite else None
    if server.is_tls13:
        exchange = "PSK" if how == "psk" else "ECDHE" if group is None or group not in range(0x100, 0x200) else "DHE"
        if group is not None and is_post_quantum(group):
            exchange = "KEM" if group in (0x0200, 0x0201, 0x0202) else "hybrid"
    elif seen & S.SEEN_KEY_EXCHANGE and exchange in ("ECDHE", "DHE", "DH", "ECDH"):
        if exchange in ("ECDHE", "ECDH"):
            group = curve or None
            group_text = group_name(curve) if curve else None
            scheme = curve_sig
        elif dh_bits:
            group_text = f"dh{dh_bits}"
            scheme = dh_sig
        if server.version < 0x0303:
            scheme = None  # before TLS 1.2 the algorithms are fixed and no bytes name them
    if not seen & S.SEEN_SERVER_HELLO:
        secret, why = None, "only a HelloRetryRequest was seen"
    return Outcome(
        tls_version=version_name(server.version),
        cipher_suite=suite_name(server.suite),
        cipher_suite_id=server.suite,
        key_exchange=exchange or None,
        key_exchange_group=group_text,
        signature_scheme=signature_name(scheme) if scheme else None,
        forward_secrecy=secret,
        forward_secrecy_reason=why,
        post_quantum=is_post_quantum(group) if group is not None else (None if server.is_tls13 else False),
        alpn=printable(server.alpn) if server.alpn else None,
        ja3s=server.ja3s,
        resumed=was_resumed,
        resumption=how,
        compression=server.compression,
        post_quantum_kind=_group_kind(group) if group is not None else None,
        authentication=_authentication(server, suite, how),
        **_agreed(server),
    )


def _agreed(server: ServerShape) -> dict[str, bool | None]:
    """What the extensions of a ServerHello agree to. In TLS 1.3 these are built in, gone, or encrypted."""
    if server.is_tls13:
        return {"extended_master_secret": True, "secure_renegotiation": None, "encrypt_then_mac": None}
    return {
        "extended_master_secret": EXTENDED_MASTER_SECRET in server.extensions,
        "secure_renegotiation": RENEGOTIATION_INFO in server.extensions,
        "encrypt_then_mac": ENCRYPT_THEN_MAC in server.extensions,
        "heartbeat": HEARTBEAT_EXTENSION in server.extensions,
    }


def _group_kind(group: int) -> str:
    name = group_name(group)
    if not is_post_quantum(group):
        return "classical"
    if group in OBSOLETE_GROUPS or "Draft" in name:
        return "obsolete"
    return "pure" if groups()[group][1] == "pq" else "hybrid"


def _authentication(server: ServerShape, suite: Suite | None, how: str | None) -> str | None:
    """How the server authenticates itself. In TLS 1.3 its certificate is encrypted, and so is its kind of key."""
    if server.is_tls13:
        return "pre-shared key" if how in ("psk", "psk_dhe") else "not_observable"
    if suite is None:
        return None
    if suite.authentication == "anon":
        return "anonymous"
    return "pre-shared key" if suite.authentication == "PSK" else "classical"


class Shapes:
    """The shapes met so far, described; forgotten when the kernels' numbers are given out anew."""

    def __init__(self) -> None:
        self._clients: dict[tuple[int, int], dict[str, object]] = {}
        self._servers: dict[int, ServerShape] = {}
        self._chains: dict[int, Chain] = {}
        self.certificates = Certificates()

    def forget(self) -> None:
        self._clients.clear()
        self._chains.clear()
        self._servers.clear()

    def client(self, memory: S.Memory, number: int, transport: int) -> dict[str, object]:
        if (number, transport) not in self._clients:
            shape = ClientShape.parse(value(memory.arena, memory.entries, number))
            self._clients[number, transport] = shape.row("tdq"[transport])
        return self._clients[number, transport]

    def chain(self, memory: S.Memory, number: int) -> Chain:
        if number not in self._chains:
            self._chains[number] = self.certificates.chain(value(memory.arena, memory.entries, number))
        return self._chains[number]

    def server(self, memory: S.Memory, number: int) -> ServerShape:
        if number not in self._servers:
            self._servers[number] = ServerShape.parse(value(memory.arena, memory.entries, number))
        return self._servers[number]


def names_of(memory: S.Memory, numbers: Array) -> list[str | None]:
    """Interned host names as text, None for 0. Nearly every one is met once, so all are read at one go."""
    known = numbers[numbers > 0]
    if not len(known):
        return [None] * len(numbers)
    offsets, lengths = memory.entries[known, 0], memory.entries[known, 1]
    first = int(offsets.min())
    blob = memory.arena[first : int((offsets + lengths).max())].tobytes()
    starts = (offsets - first).tolist()
    parts = [blob[at : at + size] for at, size in zip(starts, lengths.tolist(), strict=True)]
    joined = b"".join(parts)
    if VISIBLE.fullmatch(joined):
        text = joined.decode("ascii")
        ends = np.cumsum(lengths).tolist()
        texts = [text[end - size : end] for end, size in zip(ends, lengths.tolist(), strict=True)]
    else:
        texts = [printable(part) for part in parts]
    found = iter(texts)
    return [next(found) if number else None for number in numbers.tolist()]


def _column_types() -> dict[str, Any]:
    return {column.name: column.type for column in tables.TABLES["handshakes"]}


def established(rows: Array, flows_closed: Array) -> Numbers:
    """Whether each handshake came to its end: both sides sent their Finished, or data under the new keys."""
    seen = rows["seen"]

    def has(bits: int) -> Array:
        return np.asarray((seen & np.uint32(bits)) != 0)

    client = has(S.SEEN_CLIENT_FINISHED) | (has(S.SEEN_CLIENT_DATA) & ~has(S.SEEN_CLIENT_SHORT))
    server = has(S.SEEN_SERVER_FINISHED | S.SEEN_SERVER_DATA)
    done = client & server & has(S.SEEN_SERVER_HELLO)
    failed = (rows["alert"] != NOTHING_SEEN) & (rows["alert_level"] == 2) | has(S.SEEN_CLIENT_SHORT)
    over = flows_closed & has(S.SEEN_CLIENT_HELLO) & ~done
    return Numbers(done, ~(done | failed | over))


def _status(seen: int, invalid: int, at: int, client_lost: bool, server_lost: bool) -> tuple[str, str | None]:
    if seen & (S.SEEN_CLIENT_INVALID | S.SEEN_SERVER_INVALID):
        who = "ClientHello" if seen & S.SEEN_CLIENT_INVALID else "ServerHello"
        return "invalid", f"{who}: {INVALID.get(invalid, 'not valid')} (byte {at})"
    reason = INVALID[invalid] if invalid == CUT_HELLO else None
    if invalid in (NO_KEYS, NO_SALT):
        return "truncated", INVALID[invalid]
    if invalid in (TOO_LONG, NO_RECORD):
        reason = f"{INVALID[invalid]} (byte {at} of the stream)"
    has_client, has_server = seen & S.SEEN_CLIENT_HELLO, seen & S.SEEN_SERVER_HELLO
    if has_client and has_server:
        return "complete", reason
    if has_client:
        lost = "part of the server's side is missing from the capture" if server_lost else None
        retry = "the server asked for another ClientHello" if seen & S.SEEN_RETRY else None
        return "client_only", reason or retry or lost or "no ServerHello was seen"
    if has_server:
        lost = "part of the client's side is missing from the capture" if client_lost else None
        return "server_only", reason or lost or "no ClientHello was seen"
    return "truncated", reason or "the hello is not whole in the capture"


def handshake_columns(
    rows: Array, memory: S.Memory, shapes: Shapes, closed: Array, lost: tuple[Array, Array]
) -> dict[str, Any]:
    """The columns of ``handshakes`` for kernel rows, and ``_offers_forward_secrecy``, which policies need.

    ``closed``: whether each row's flow was closed; ``lost``: whether bytes of its client's and server's side are
    missing.
    """
    types = _column_types()
    seen = rows["seen"].astype(np.int64)
    columns: dict[str, Any] = {
        "flow_id": rows["flow"],
        "started": Numbers(rows["started"]),
        "transport": Texts(["tcp", "dtls", "quic"], rows["transport"].astype(np.int64)),
    }
    combos, index = distinct(rows["client_shape"], rows["transport"])
    nothing: dict[str, object] = {}
    clients = [shapes.client(memory, number, over) if number else nothing for number, over in combos.tolist()]
    for name in ClientShapeColumns:
        columns[name] = spread([c.get(name) for c in clients], index, types[name])
    offers = spread([c.get("offers_forward_secrecy") for c in clients], index, tables.BOOL)
    early = spread([c.get("offers_early_data") for c in clients], index, tables.BOOL)

    combos, index = distinct(
        rows["server_shape"],
        seen & DECIDING,
        rows["curve"],
        rows["curve_signature"],
        rows["dh_bits"],
        rows["dh_signature"],
    )
    outcomes = []
    for shape, bits, *exchange in combos.tolist():
        server = shapes.server(memory, shape) if shape else None
        outcomes.append(outcome(bits, server, *exchange))
    for name in Outcome.__dataclass_fields__:
        columns[name] = spread([getattr(o, name) for o in outcomes], index, types[name])

    names, index = np.unique(rows["server_name"], return_inverse=True)
    columns["server_name"] = Texts(names_of(memory, names), index)
    columns["early_data"] = early
    columns["quic_version"] = _quic_versions(rows["quic_version"])
    columns["starttls"] = Texts(
        [None, *(PROTOCOL_NAMES.get(n, "unknown") for n in range(1, 256))], rows["upgraded"].astype(np.int64)
    )
    columns["hello_retry"] = Numbers((seen & S.SEEN_RETRY) != 0)
    columns["established"] = established(rows, closed)
    columns["alert"] = _alerts(rows)
    columns["history"] = _histories(rows)
    for name, source in (("client_hello_frame", "client_frame"), ("server_hello_frame", "server_frame")):
        columns[name] = Numbers(rows[source], rows[source] == 0)
    for name, source in (("client_hello_bytes", "client_bytes"), ("client_hello_segments", "client_segments")):
        columns[name] = Numbers(rows[source], rows[source] == 0)
    combos, index = distinct(seen, rows["invalid"], rows["invalid_at"], lost[0], lost[1])
    states = [_status(int(a), int(b), int(c), bool(d), bool(e)) for a, b, c, d, e in combos.tolist()]
    columns["status"] = Texts([s for s, _ in states], index)
    columns["status_reason"] = Texts([r for _, r in states], index)
    columns["dh_group"] = _dh_groups(rows, memory)
    columns["client_certificate_asked"] = Numbers((seen & S.SEEN_CERTIFICATE_REQUEST) != 0, _hides(columns))
    columns["ocsp_stapled"] = Numbers(rows["staple"] > 0, _hides(columns))
    columns |= certificate_columns(rows, memory, shapes, columns["server_name"])
    columns["_offers_forward_secrecy"] = offers
    return columns


ClientShapeColumns = (
    "tls_version_offered",
    "cipher_suites_offered",
    "groups_offered",
    "key_shares_offered",
    "signature_schemes_offered",
    "post_quantum_offered",
    "alpn_offered",
    "extensions",
    "ja3",
    "ja4",
    "ech",
)


def _quic_versions(codes: Array) -> Texts:
    values, index = np.unique(codes, return_inverse=True)
    return Texts([version_text(code) if code else None for code in values.tolist()], index)


def _histories(rows: Array) -> Texts:
    """The letters of each row's messages."""
    filled = np.arange(S.HISTORY)[None, :] < rows["history_length"][:, None]
    letters = np.where(filled, rows["history"], 0).astype(np.uint8)
    # As four numbers of eight letters: equal histories are found faster among numbers than among texts.
    _, index = distinct(*(np.ascontiguousarray(letters).view(np.int64).reshape(-1, S.HISTORY // 8).T))
    _, first = np.unique(index, return_index=True)
    return Texts([letters[at].tobytes().rstrip(b"\0").decode("ascii") or None for at in first.tolist()], index)


def _hides(columns: dict[str, Any]) -> Array:
    """Where what follows the ServerHello is encrypted (TLS 1.3), or no ServerHello was seen."""
    version = columns["tls_version"]
    hidden = np.array([v is None or "1.3" in v for v in version.values] + [True])
    return np.asarray(hidden[version.index])


def _dh_groups(rows: Array, memory: S.Memory) -> Texts:
    """The groups of DHE; what looked like a prime in another key exchange is none."""
    numbers, index = np.unique(rows["dh_prime"], return_inverse=True)
    names = [group_of(value(memory.arena, memory.entries, n)) if n else None for n in numbers.tolist()]
    codes, which = np.unique(rows["suite"], return_inverse=True)
    known = [suites().get(code) for code in codes.tolist()]
    is_dhe = np.array([suite is not None and suite.key_exchange in ("DHE", "DH") for suite in known], bool)[which]
    return Texts(names, np.where(is_dhe, index, MISSING))


def certificate_columns(rows: Array, memory: S.Memory, shapes: Shapes, names: Texts) -> dict[str, Any]:
    """The columns about certificates; each chain is read once."""
    started = rows["started"]
    chains, index = _chains(rows["server_chain"], started, "server", memory, shapes)
    leaves = [chain.leaf for chain in chains]
    times = [(leaf.not_before, leaf.not_after) if leaf else (None, None) for leaf in leaves]
    before = np.array([0 if one is None or two is None else one for one, two in times])[index]
    after = np.array([-1 if one is None or two is None else two for one, two in times])[index]
    pairs, which = distinct(index, names.index)
    texts = [*names.values, None]
    fits = [leaf.fits(texts[name]) if (leaf := leaves[chain]) else None for chain, name in pairs.tolist()]
    clients, client = _chains(rows["client_chain"], started, "client", memory, shapes)
    return {
        "certificate_id": Texts([leaf.certificate_id if leaf else None for leaf in leaves], index),
        "certificate_chain": Texts([words([c.certificate_id for c in chain.certificates]) for chain in chains], index),
        "chain_order": Texts([chain.order for chain in chains], index),
        "certificate_matches": spread(fits, which, tables.BOOL),
        "certificate_valid": Numbers((before <= started) & (started <= after), after < before),
        "_certificate_key": Texts([_key(leaf) for leaf in leaves], index),
        "_certificate_weak": Texts([leaf.weak if leaf else None for leaf in leaves], index),
        "client_certificate_id": Texts([c.leaf.certificate_id if c.leaf else None for c in clients], client),
    }


def _key(leaf: Certificate | None) -> str | None:
    """A certificate's key in words that policies ask for: its type, and its size or curve."""
    if leaf is None or leaf.key_type is None:
        return None
    return f"{leaf.key_type} {leaf.curve or leaf.key_bits or '?'}"


def _chains(numbers: Array, started: Array, role: str, memory: S.Memory, shapes: Shapes) -> tuple[list[Chain], Array]:
    """The distinct chains, each noted with how many handshakes showed it, and which one each row has."""
    values, index = np.unique(numbers, return_inverse=True)
    counts = np.bincount(index, minlength=len(values)).tolist()
    first = np.full(len(values), np.iinfo(np.int64).max)
    np.minimum.at(first, index, started)
    chains = []
    for number, count, time in zip(values.tolist(), counts, first.tolist(), strict=True):
        chain = shapes.chain(memory, number) if number else Chain([])
        shapes.certificates.note(chain, role, count, time)
        chains.append(chain)
    return chains, index


def _alerts(rows: Array) -> Texts:
    combos, index = distinct(rows["alert"], rows["alert_side"] == rows["client_side"])
    told = [
        None if code == NOTHING_SEEN else f"{'client' if client else 'server'}: {alert_name(code)}"
        for code, client in combos.tolist()
    ]
    return Texts(list(told), index)
