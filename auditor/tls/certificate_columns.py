"""Columns of a handshake that its certificates give."""

from typing import Any, NamedTuple

import numpy as np

from auditor.flows import state as S
from auditor.tables import schema
from auditor.tables.columns import MISSING, Numbers, Texts, distinct, each_once, spread
from auditor.tls.algorithms import RAW_KEY
from auditor.tls.certificates import Certificate, Chain, is_named
from auditor.tls.interned import Shapes
from auditor.tls.shapes import words

Array = np.ndarray[Any, Any]
# Times of certificates are whole seconds, and the last one belongs to their validity, to its end (RFC 5280 4.1.2.5: inclusive).
LAST_SECOND = 999_999_999  # nanoseconds
DAY = 86_400 * 10**9
UNREAD = "?\t?\t?"  # how a chain is described of which nothing but that it was sent is known


class CertificateColumns(NamedTuple):
    """What certificates say of each handshake: columns of ``handshakes``, and what only policies ask."""

    table: dict[str, Numbers | Texts]
    chain: Texts  # key and signature of each certificate of the server's chain
    chain_valid: Numbers  # whether all of them were valid when the handshake began
    client_chain: Texts  # the same two of the client's chain
    client_chain_valid: Numbers
    invalid: Texts  # which certificate of the server's chain was not valid, and since or until when
    client_invalid: Texts
    lifetime: Texts  # whole days from the beginning to the end of what the server's own certificate is good for


def certificate_columns(rows: Array, memory: S.Memory, shapes: Shapes, names: Texts) -> CertificateColumns:
    """The columns about certificates for the server names of each row; each chain is read once."""
    started = rows["started"]
    chains, index = _chains(rows["server_chain"], started, "server", memory, shapes)
    leaves = [chain.leaf for chain in chains]
    pairs, which = distinct(index, names.index)
    texts = [*names.values, None]
    good = [leaf.names if leaf and leaf.subject is not None else None for leaf in leaves]
    fits = [
        is_named(own, text) if (own := good[chain]) is not None and (text := texts[name]) else None
        for chain, name in pairs.tolist()
    ]
    clients, client = _chains(rows["client_chain"], started, "client", memory, shapes)
    sent = (rows["seen"] & np.uint32(S.SEEN_CLIENT_CERTIFICATE)) != 0
    is_unread = sent & (rows["client_chain"] == 0)  # longer than what is kept of a client's
    table: dict[str, Numbers | Texts] = {
        "certificate_id": Texts([leaf.certificate_id if leaf else None for leaf in leaves], index),
        "certificate_chain": Texts([words([c.certificate_id for c in chain.certificates]) for chain in chains], index),
        "chain_order": Texts([chain.order for chain in chains], index),
        "certificate_matches": spread(fits, which, schema.BOOL),
        "certificate_valid": _valid([[leaf] if leaf else [] for leaf in leaves], index, started),
        "client_certificate_id": Texts([c.leaf.certificate_id if c.leaf else None for c in clients], client),
    }
    return CertificateColumns(
        table,
        chain=Texts([described(chain) for chain in chains], index),
        chain_valid=_valid([chain.path for chain in chains], index, started),
        client_chain=Texts([*map(described, clients), UNREAD], np.where(is_unread, len(clients), client)),
        client_chain_valid=_valid([chain.path for chain in clients], client, started),
        invalid=_invalid(chains, index, started),
        client_invalid=_invalid(clients, client, started),
        lifetime=Texts([lifetime(chain) for chain in chains], index),
    )


def described(chain: Chain) -> str | None:
    """Each certificate's type of key, size or curve, and signature; one after another with semicolons between.

    The signature of a root is not verified by anybody, and stands as ``-`` (RFC 5280 6.1); a raw public key has none.
    Behind an RSA key is its public exponent where that is not 65537, as everybody's is, or not known (``?``).
    """
    words = []
    for number, one in enumerate(chain.certificates):
        is_root = number > 0 and one.subject is not None and one.subject == one.issuer
        signed = (
            RAW_KEY if one.key_algorithm == RAW_KEY else "-" if is_root else one.weak or one.signature_algorithm or "?"
        )
        size = one.curve or one.key_bits or "?"
        unusual = one.key_type == "rsa" and one.exponent != "65537"
        words.append("\t".join([one.key_type or "?", str(size), signed, *([one.exponent or "?"] if unusual else [])]))
    return ";".join(words) or None


def lifetime(chain: Chain) -> str | None:
    """For how many whole days a chain's own certificate is good; None where there is none, or its times are not known."""
    own = chain.leaf
    if own is None or own.not_before is None or own.not_after is None:
        return None
    return str(max(0, own.not_after - own.not_before) // DAY)


def _valid(paths: list[list[Certificate]], index: Array, started: Array) -> Numbers:
    """Whether all certificates of each row's path were valid; missing where that is not known."""
    periods = np.array([_period(path) for path in paths], np.int64).reshape(-1, 2)[index]
    known = np.array([_has_times(path) for path in paths], bool)[index]
    within = (periods[:, 0] <= started) & (started <= periods[:, 1])
    return Numbers(within & known, within & ~known)


def _period(path: list[Certificate]) -> tuple[int, int]:
    """When all certificates of a path whose times are known are valid."""
    begins = [one.not_before for one in path if one.not_before is not None]
    ends = [one.not_after for one in path if one.not_after is not None]
    return max(begins, default=-(2**63)), min([*ends, 2**63 - 1 - LAST_SECOND]) + LAST_SECOND


def invalid(chain: Chain, time: int) -> str | None:
    """Which certificate of a chain was not valid at a time, the first of those that there are, in words."""
    return next(
        (_fault(chain, one, time) for one in chain.path if not _period([one])[0] <= time <= _period([one])[1]), None
    )


def _fault(chain: Chain, one: Certificate, time: int) -> str:
    """What is wrong with a certificate that is not valid at a time."""
    place = next(number for number, other in enumerate(chain.certificates) if other is one)
    begin, end = _period([one])
    ended = time > end
    day = np.datetime64(end if ended else begin, "ns").astype("datetime64[D]")
    which = f"certificate {place + 1} of the chain" if place else "the leaf"
    return f"{which} {'ended on' if ended else 'begins on'} {day}"


def _invalid(chains: list[Chain], index: Array, started: Array) -> Texts:
    """Which certificate of each row's chain was not valid, in words; missing where all were, or that is not known."""
    periods = np.array([_period(chain.path) for chain in chains], np.int64).reshape(-1, 2)[index]
    bad = np.flatnonzero((started < periods[:, 0]) | (started > periods[:, 1]))
    # A chain's certificates begin and end at few times: between two of these the same one is not valid.
    texts: dict[tuple[int, int], str | None] = {}
    which = np.full(len(index), MISSING)
    bad = bad[np.argsort(index[bad], kind="stable")]
    for rows in np.split(bad, np.flatnonzero(np.diff(index[bad])) + 1) if len(bad) else []:
        number = int(index[rows[0]])
        chain = chains[number]
        edges = np.sort([time for one in chain.path for time in (_period([one])[0], _period([one])[1] + 1)])
        between = np.searchsorted(edges, started[rows], side="right")
        for part in each_once(between).tolist():
            some = rows[between == part]
            which[some] = len(texts)
            texts[number, part] = invalid(chain, int(started[some[0]]))
    return Texts(list(texts.values()), which)


def _has_times(path: list[Certificate]) -> bool:
    """Whether there are certificates, and the times of all of them are known."""
    return bool(path) and all(one.not_before is not None and one.not_after is not None for one in path)


def validity(path: list[Certificate], time: int) -> bool | None:
    """Whether all certificates of a path were valid at a time; None where that is not known. One that was not is enough."""
    begin, end = _period(path)
    if not begin <= time <= end:
        return False
    return True if _has_times(path) else None


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
