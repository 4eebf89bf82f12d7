"""Columns of a handshake that its certificates give."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.flows import state as S
from auditor.tables import schema
from auditor.tables.columns import Numbers, Texts, distinct, spread
from auditor.tls.certificates import Certificate, Chain
from auditor.tls.interned import Shapes
from auditor.tls.shapes import words

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class CertificateColumns:
    """What certificates say of each handshake: columns of ``handshakes``, and what only policies ask."""

    table: dict[str, Numbers | Texts]
    key: Texts  # type and size or curve of the server's key
    weak: Texts  # what is weak about the server's certificate


def certificate_columns(rows: Array, memory: S.Memory, shapes: Shapes, names: Texts) -> CertificateColumns:
    """The columns about certificates for the server names of each row; each chain is read once."""
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
    table: dict[str, Numbers | Texts] = {
        "certificate_id": Texts([leaf.certificate_id if leaf else None for leaf in leaves], index),
        "certificate_chain": Texts([words([c.certificate_id for c in chain.certificates]) for chain in chains], index),
        "chain_order": Texts([chain.order for chain in chains], index),
        "certificate_matches": spread(fits, which, schema.BOOL),
        "certificate_valid": Numbers((before <= started) & (started <= after), after < before),
        "client_certificate_id": Texts([c.leaf.certificate_id if c.leaf else None for c in clients], client),
    }
    return CertificateColumns(
        table,
        key=Texts([_key(leaf) for leaf in leaves], index),
        weak=Texts([leaf.weak if leaf else None for leaf in leaves], index),
    )


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
