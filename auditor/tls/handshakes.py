"""From the kernels' handshake rows to the table ``handshakes``.

What a handshake negotiated depends on few things: the shapes of its hellos, the ServerKeyExchange, and which messages
were seen. It is worked out once for each combination and handed to all rows that share it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from auditor.flows import frame_columns
from auditor.flows import state as S
from auditor.flows.intern import value
from auditor.flows.kept import LARGEST_IN_PARTS
from auditor.recognise.numbers import PROTOCOL_NAMES
from auditor.tables import schema
from auditor.tables.columns import MISSING, Numbers, Texts, distinct, first_of_each, spread
from auditor.tables.schema import NO_MEMORY
from auditor.tls.algorithms import NO_CERTIFICATE
from auditor.tls.certificate_columns import certificate_columns
from auditor.tls.certificate_messages import is_empty
from auditor.tls.dh_groups import group_of
from auditor.tls.hello_faults import CUT_HELLO, CUT_PACKETS, HIDDEN, INVALID, NO_KEYS, NO_RECORD, NO_SALT, TOO_LONG
from auditor.tls.interned import Shapes
from auditor.tls.names import alert_name, signature_name, suites
from auditor.tls.outcome import DECIDING, Outcome
from auditor.tls.public_keys import FAULTS
from auditor.tls.quic_versions import version_text

Array = np.ndarray[Any, Any]
# Columns that the ClientHello alone decides, see ``ClientShape.row``.
CLIENT_COLUMNS = (
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
NO_HELLO = dict.fromkeys((*CLIENT_COLUMNS, "offers_early_data", "offers_forward_secrecy"))
OUTCOME_COLUMNS = tuple(Outcome._fields)
LONG_CHAIN = f"the certificates take more than {LARGEST_IN_PARTS} bytes and are not read"
IN_PIECES = "more pieces or bytes than are kept of a handshake inside another protocol or over datagrams"
SIDES = "server", "client"
TYPES = {column.name: column.type for column in schema.TABLES["handshakes"]}


@dataclass(frozen=True, eq=False, repr=False)
class HandshakeColumns:
    """The columns of ``handshakes``, and what only policies ask of each handshake."""

    table: dict[str, Numbers | Texts]
    offers_forward_secrecy: Numbers
    client_signature: Texts  # scheme of the client's CertificateVerify
    chain: Texts  # keys and signatures of the server's certificates
    chain_valid: Numbers  # whether all of them were valid when the handshake began
    client_chain: Texts  # the same two of the client's chain
    client_chain_valid: Numbers
    invalid: Texts  # which certificate of the server's chain was not, in words
    client_invalid: Texts
    lifetime: Texts  # of the server's own certificate, in days
    public_key: Texts  # what is wrong with a public key of the key exchange; None where nothing is
    chain_unread: Texts  # why they are not known though they were sent in clear

    @cached_property
    def texts(self) -> dict[str, Texts]:
        """The columns of text."""
        return {name: column for name, column in self.table.items() if isinstance(column, Texts)}

    @cached_property
    def numbers(self) -> dict[str, Numbers]:
        """The columns of numbers, times and truth values."""
        return {name: column for name, column in self.table.items() if isinstance(column, Numbers)}


def handshake_columns(
    rows: Array,
    server_name: Texts,
    memory: S.Memory,
    shapes: Shapes,
    closed: Array,
    lost: tuple[Array, Array],
    captures: Sequence[str],
) -> HandshakeColumns:
    """What kernel rows of handshakes say.

    ``server_name``: that each row names; ``closed``: whether each row's flow was closed; ``lost``: why bytes of its
    client's and server's side are missing; ``captures``: by the numbers that frames have.
    """
    hellos, hello = _client_hellos(rows, memory, shapes)
    offers_early = Numbers.of([one["offers_early_data"] for one in hellos], schema.BOOL).take(hello)
    rows = _in_order(rows, offers_early.three_valued() == 0)
    outcomes, which = _outcomes(rows, memory, shapes)
    certificates = certificate_columns(rows, memory, shapes, server_name)
    table: dict[str, Numbers | Texts] = {
        "flow_id": Numbers(rows["flow"]),
        "started": Numbers(rows["started"]),
        "server_name": server_name,
        **_spread_all(CLIENT_COLUMNS, map(itemgetter(*CLIENT_COLUMNS), hellos), hello),
        "early_data": offers_early,
        **_spread_all(OUTCOME_COLUMNS, map(attrgetter(*OUTCOME_COLUMNS), outcomes), which),
        "established": established(rows, closed, (lost[0] != 0) | (lost[1] != 0), _is_tls13(outcomes)[which]),
        **_seen(rows, captures),
        **_status_columns(rows, lost),
        "dh_group": _dh_groups(rows, memory),
        **_server_flight(rows, Texts([one.tls_version for one in outcomes], which)),
        **certificates.table,
    }
    offers = Numbers.of([one["offers_forward_secrecy"] for one in hellos], schema.BOOL).take(hello)
    return HandshakeColumns(
        table,
        offers,
        _client_signatures(rows),
        certificates.chain,
        certificates.chain_valid,
        certificates.client_chain,
        certificates.client_chain_valid,
        certificates.invalid,
        certificates.client_invalid,
        certificates.lifetime,
        _public_keys(rows),
        _chain_unread(rows, memory, shapes),
    )


def _client_hellos(rows: Array, memory: S.Memory, shapes: Shapes) -> tuple[list[dict[str, object]], Array]:
    """What each distinct ClientHello says (nothing where none was seen), and which one each row has."""
    combos, index = distinct(rows["client_shape"], rows["transport"])
    return [shapes.client(memory, number, over) if number else NO_HELLO for number, over in combos.tolist()], index


def _spread_all(names: Sequence[str], values: Iterable[tuple[Any, ...]], index: Array) -> dict[str, Numbers | Texts]:
    """Columns by their names: ``values`` has one of each for every number of ``index``."""
    columns = list(zip(*values, strict=True)) or [()] * len(names)
    return {name: spread(column, index, TYPES[name]) for name, column in zip(names, columns, strict=True)}


def _outcomes(rows: Array, memory: S.Memory, shapes: Shapes) -> tuple[list[Outcome], Array]:
    """What each distinct combination of hellos and messages negotiated, and which one each row has."""
    combos, index = distinct(
        rows["server_shape"],
        rows["seen"].astype(np.int64) & DECIDING,
        rows["curve"],
        rows["curve_signature"],
        rows["dh_bits"],
        rows["dh_signature"],
    )
    return [shapes.outcome(memory, *combo) for combo in combos.tolist()], index


def _is_tls13(outcomes: list[Outcome]) -> Array:
    """Which outcomes are of a version whose keys come into use without ChangeCipherSpec (RFC 8446 D.4, and drafts), or of none that is known."""
    return np.array(
        [one.tls_version is None or one.tls_version.startswith(("TLS 1.3", "0x")) for one in outcomes], bool
    )


def _in_order(rows: Array, offers_none: Array) -> Array:
    """Rows in which a client that offers no early data sent none: its Finished was before the ServerHello in the capture."""
    overtaken = offers_none & ((rows["seen"] & np.uint32(S.SEEN_EARLY_DATA)) != 0)
    if overtaken.any():
        rows = rows.copy()
        of_early_data = np.uint32(S.SEEN_EARLY_DATA | S.SEEN_CLIENT_SHORT)
        rows["seen"][overtaken] = rows["seen"][overtaken] & ~of_early_data | np.uint32(S.SEEN_CLIENT_DATA)
    return rows


def established(rows: Array, flows_closed: Array, lost: Array, is_tls13: Array) -> Numbers:
    """Whether each handshake came to its end: both sides sent their Finished, or data under the new keys.

    ``lost``: bytes of the flow are missing from the capture, so that what was not seen may have been sent. Where a
    ServerHello cannot be read and both sides went on to their Finished all the same, it is not known. ``is_tls13``: of a
    version without ChangeCipherSpec; in all others what is sent before it is sent in clear (RFC 5246 6.1, 7.1).
    """
    seen = rows["seen"]

    def has(bits: int) -> Array:
        return np.asarray((seen & np.uint32(bits)) != 0)

    client = has(S.SEEN_CLIENT_FINISHED) | (has(S.SEEN_CLIENT_DATA) & ~has(S.SEEN_CLIENT_SHORT))
    server = has(S.SEEN_SERVER_FINISHED | S.SEEN_SERVER_DATA)
    in_clear = has(S.SEEN_NO_CCS) & ~is_tls13
    finished = client & server & ~in_clear
    done = finished & has(S.SEEN_SERVER_HELLO)
    failed = (rows["alert"] != S.NO_ALERT) & (rows["alert_level"] == 2) | has(S.SEEN_CLIENT_SHORT) | in_clear
    over = flows_closed & has(S.SEEN_CLIENT_HELLO) & ~finished & ~lost
    return Numbers(done, ~(done | failed | over))


def _seen(rows: Array, captures: Sequence[str]) -> dict[str, Numbers | Texts]:
    """Columns that are fields of the rows, or hardly more."""
    upgraded = [None, *(PROTOCOL_NAMES.get(n, "unknown") for n in range(1, 256))]
    columns: dict[str, Numbers | Texts] = {
        "transport": Texts(["tcp", "dtls", "quic", "other"], rows["transport"].astype(np.int64)),
        "quic_version": _quic_versions(rows["quic_version"]),
        "starttls": Texts(upgraded, rows["upgraded"].astype(np.int64)),
        "hello_retry": Numbers((rows["seen"] & np.uint32(S.SEEN_RETRY)) != 0),
        "alert": _alerts(rows),
        "history": _histories(rows),
    }
    for name, source in (
        ("client_hello_bytes", "client_bytes"),
        ("client_hello_segments", "client_segments"),
    ):
        columns[name] = Numbers(rows[source], rows[source] == 0)
    for side in ("client", "server"):
        columns[f"{side}_hello_capture"] = frame_columns.names(rows[f"{side}_frame"], captures)
        columns[f"{side}_hello_frame"] = frame_columns.numbers(rows[f"{side}_frame"])
    return columns


def _status_columns(rows: Array, lost: tuple[Array, Array]) -> dict[str, Numbers | Texts]:
    """How much of each handshake was seen, and what is wrong with it."""
    unread = (rows["server_chain"] == 0) & ((rows["seen"] & np.uint32(S.SEEN_CERTIFICATE)) != 0)
    combos, index = distinct(rows["seen"], rows["invalid"], rows["invalid_at"], *lost, unread)
    states = [_status(*one) for one in combos.tolist()]
    return {
        "status": Texts([status for status, _ in states], index),
        "status_reason": Texts([reason for _, reason in states], index),
    }


def _lost(side: str, why: int) -> str | None:
    """Why bytes of a side are missing, in words."""
    if why == S.NO_ROOM:
        return f"{NO_MEMORY} to follow the {side}'s side to its end"
    if why == S.NOT_KEPT:
        return IN_PIECES
    return f"part of the {side}'s side is missing from the capture" if why else None


def _status(
    seen: int, invalid: int, at: int, client_lost: int, server_lost: int, unread: int
) -> tuple[str, str | None]:
    if seen & (S.SEEN_CLIENT_INVALID | S.SEEN_SERVER_INVALID):
        message = "ClientHello" if seen & S.SEEN_CLIENT_INVALID else "ServerHello"
        return "invalid", f"{message}: {INVALID.get(invalid, 'not valid')} (byte {at})"
    if seen & (S.SEEN_CLIENT_CUT | S.SEEN_SERVER_CUT):
        message = "ClientHello" if seen & S.SEEN_CLIENT_CUT else "ServerHello"
        if invalid == TOO_LONG:
            return "truncated", f"{message}: {INVALID[TOO_LONG]}"
        if S.NOT_KEPT in (client_lost, server_lost):
            return "truncated", IN_PIECES
        return "truncated", f"{message}: the capture has only its first {at + 4} bytes"
    if invalid in (NO_KEYS, NO_SALT, HIDDEN, CUT_PACKETS):
        return "truncated", INVALID[invalid]
    reason = INVALID[invalid] if invalid == CUT_HELLO else None
    if invalid == NO_RECORD:
        reason = f"{INVALID[invalid]} (byte {at} of the stream)"
    has_client, has_server = seen & S.SEEN_CLIENT_HELLO, seen & S.SEEN_SERVER_HELLO
    if has_client and has_server:
        return "complete", reason or (LONG_CHAIN if unread else None)
    if has_client:
        retry = "the server asked for another ClientHello" if seen & S.SEEN_RETRY else None
        return "client_only", reason or retry or _lost("server", server_lost) or "no ServerHello was seen"
    if has_server:
        return "server_only", reason or _lost("client", client_lost) or "no ClientHello was seen"
    if S.NO_ROOM in (client_lost, server_lost):
        return "truncated", reason or f"{NO_MEMORY} to keep the hello until it was whole"
    return "truncated", reason or "the hello is not whole in the capture"


def _quic_versions(codes: Array) -> Texts:
    values, index = np.unique(codes, return_inverse=True)
    return Texts([version_text(code) if code else None for code in values.tolist()], index)


def _alerts(rows: Array) -> Texts:
    combos, index = distinct(rows["alert"], rows["alert_side"] == rows["client_side"])
    texts = [
        None if code == S.NO_ALERT else f"{'client' if client else 'server'}: {alert_name(code)}"
        for code, client in combos.tolist()
    ]
    return Texts(texts, index)


def _histories(rows: Array) -> Texts:
    """The letters of each row's messages."""
    filled = np.arange(S.HISTORY)[None, :] < rows["history_length"][:, None]
    letters = np.where(filled, rows["history"], 0).astype(np.uint8)
    # As four numbers of eight letters: equal histories are found faster among numbers than among texts.
    first, index = first_of_each(*np.ascontiguousarray(letters).view(np.int64).reshape(-1, S.HISTORY // 8).T)
    return Texts([letters[at].tobytes().rstrip(b"\0").decode("ascii") or None for at in first.tolist()], index)


def _server_flight(rows: Array, version: Texts) -> dict[str, Numbers | Texts]:
    """What follows the ServerHello: encrypted in TLS 1.3, not known where no ServerHello was seen."""
    is_hidden = np.array([v is None or "1.3" in v for v in version.values] + [True])
    hidden = is_hidden[version.index]
    return {
        "client_certificate_asked": Numbers((rows["seen"] & np.uint32(S.SEEN_CERTIFICATE_REQUEST)) != 0, hidden),
        "ocsp_stapled": Numbers(rows["staple"] > 0, hidden),
    }


def _client_signatures(rows: Array) -> Texts:
    """The schemes of the clients' CertificateVerify messages."""
    codes, index = np.unique(rows["client_signature"], return_inverse=True)
    return Texts([signature_name(code & 0xFFFF) if code else None for code in codes.tolist()], index)


def _chain_unread(rows: Array, memory: S.Memory, shapes: Shapes) -> Texts:
    """Of certificates that were sent in clear and are not known: why."""
    numbers, index = np.unique(rows["server_chain"], return_inverse=True)
    has_none = np.array([n > 0 and not shapes.chain(memory, n).certificates for n in numbers.tolist()], bool)[index]
    empty = np.array([n > 0 and is_empty(value(memory.arena, memory.entries, n)) for n in numbers.tolist()], bool)
    unread, seen = rows["server_chain"] == 0, rows["seen"]
    why = (
        (unread & ((seen & np.uint32(S.SEEN_CERTIFICATE)) != 0), LONG_CHAIN),
        (unread & ((seen & np.uint32(S.SEEN_CERTIFICATE_CUT)) != 0), "the certificates are not whole in the capture"),
        (empty[index], NO_CERTIFICATE),
        (has_none, "what the server sent in place of certificates cannot be read"),
    )
    return Texts([reason for _, reason in why], np.select([mask for mask, _ in why], range(len(why)), MISSING))


def _public_keys(rows: Array) -> Texts:
    """What is wrong with the public keys of each key exchange, the server's before the client's."""
    faults = ("curve_fault", "dh_fault", "client_curve_fault", "client_dh_fault")
    combos, index = distinct(rows["suite"], *(rows[name] for name in faults))
    return Texts([_public_key(*one) for one in combos.tolist()], index)


def _public_key(suite: int, curve: int, field: int, client_curve: int, client_field: int) -> str | None:
    known = suites().get(suite)
    exchange = None if known is None else known.key_exchange
    if exchange in ("DHE", "DH"):
        pair = field, client_field
    elif exchange in ("ECDHE", "ECDH", "TLS13"):
        pair = curve, client_curve
    else:
        return None
    words = [f"the {who}'s public key {FAULTS[fault]}" for who, fault in zip(SIDES, pair, strict=True) if fault]
    return " and ".join(words) or None


def _dh_groups(rows: Array, memory: S.Memory) -> Texts:
    """The groups of DHE; what looked like a prime in another key exchange is none."""
    numbers, index = np.unique(rows["dh_prime"], return_inverse=True)
    names = [group_of(value(memory.arena, memory.entries, n)) if n else None for n in numbers.tolist()]
    codes, which = np.unique(rows["suite"], return_inverse=True)
    known = [suites().get(code) for code in codes.tolist()]
    is_dhe = np.array([suite is not None and suite.key_exchange in ("DHE", "DH") for suite in known], bool)[which]
    return Texts(names, np.where(is_dhe, index, MISSING))
