"""What keys reveal of a handshake of TLS 1.3: the server's choice of a protocol, certificates and who signed how (RFC 8446 4.3, 4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from auditor.tables.columns import Numbers, Texts
from auditor.tls.certificate_columns import UNREAD, described, invalid, lifetime, validity
from auditor.tls.certificate_messages import message_of
from auditor.tls.certificates import Certificates
from auditor.tls.handshakes import HandshakeColumns
from auditor.tls.names import signature_name
from auditor.tls.shapes import printable, words

Array = np.ndarray[Any, Any]
POST_QUANTUM = ("ML-DSA", "SLH-DSA")


@dataclass(eq=False, repr=False)
class Revealed:
    """What was read of one handshake; certificates as DER, in the order in which they were sent."""

    alpn: str | None = None
    server: list[bytes] = field(default_factory=list)
    client: list[bytes] = field(default_factory=list)
    server_signed: int | None = None  # the scheme of each side's CertificateVerify
    client_signed: int | None = None
    server_unread: str | None = None  # why certificates that were sent are not known
    client_unread: str | None = None
    asked: bool | None = None  # whether the server asked for a certificate


def reveal(columns: HandshakeColumns, found: Mapping[int, Revealed], certificates: Certificates) -> HandshakeColumns:
    """The columns of handshakes with what was read of some of their rows."""
    texts: dict[str, dict[int, str | None]] = {}
    truths: dict[str, dict[int, bool | None]] = {}
    names, started = columns.texts["server_name"].objects(), columns.numbers["started"].values
    for row, one in found.items():
        said, held = _stated(one, names[row], int(started[row]), certificates)
        for text_of, text in said.items():
            if text is not None:
                texts.setdefault(text_of, {})[row] = text
        for truth_of, truth in held.items():
            truths.setdefault(truth_of, {})[row] = truth
    asked_texts: dict[str, Any] = {
        name: _with_texts(getattr(columns, name), texts.pop(name, {}))
        for name in (
            "chain",
            "client_chain",
            "lifetime",
            "invalid",
            "client_invalid",
            "client_signature",
            "chain_unread",
        )
    }
    asked_truths: dict[str, Any] = {
        name: _with_truths(getattr(columns, name), truths.pop(name, {}))
        for name in ("chain_valid", "client_chain_valid")
    }
    table = dict(columns.table)
    table |= {name: _with_texts(columns.texts[name], rows) for name, rows in texts.items()}
    table |= {name: _with_truths(columns.numbers[name], rows) for name, rows in truths.items()}
    return replace(columns, table=table, **asked_texts, **asked_truths)


def _stated(
    one: Revealed, name: str | None, time: int, certificates: Certificates
) -> tuple[dict[str, str | None], dict[str, bool | None]]:
    """What one handshake says, by columns: texts, and truth values of which some are not known."""
    texts: dict[str, str | None] = {
        "alpn": None if one.alpn is None else printable(one.alpn.encode("utf-8", "replace")),
        "signature_scheme": None if one.server_signed is None else signature_name(one.server_signed),
        "client_signature": None if one.client_signed is None else signature_name(one.client_signed),
        "chain_unread": one.server_unread,
        "client_chain": None if one.client_unread is None else UNREAD,
    }
    truths: dict[str, bool | None] = {} if one.asked is None else {"client_certificate_asked": one.asked}
    if one.client:
        chain = certificates.chain(message_of(one.client))
        certificates.note(chain, "client", 1, time)
        if chain.leaf:
            texts["client_certificate_id"] = chain.leaf.certificate_id
            texts |= {"client_chain": described(chain), "client_invalid": invalid(chain, time)}
            truths["client_chain_valid"] = validity(chain.path, time)
    if one.server:
        chain = certificates.chain(message_of(one.server))
        certificates.note(chain, "server", 1, time)
        leaf = chain.leaf
        if leaf is not None:
            is_new = bool(leaf.key_type and leaf.key_type.startswith(POST_QUANTUM))
            texts |= {
                "certificate_id": leaf.certificate_id,
                "certificate_chain": words([each.certificate_id for each in chain.certificates]),
                "chain_order": chain.order,
                "authentication": "post-quantum" if is_new else "classical",
                "chain": described(chain),
                "lifetime": lifetime(chain),
                "invalid": invalid(chain, time),
            }
            truths["certificate_matches"] = leaf.fits(name)
            truths |= {
                "certificate_valid": validity([leaf], time),
                "chain_valid": validity(chain.path, time),
            }
    return texts, truths


def _with_texts(column: Texts, rows: Mapping[int, str | None]) -> Texts:
    values = column.objects()
    for row, text in rows.items():
        values[row] = text
    return Texts.of(values)


def _with_truths(column: Numbers, rows: Mapping[int, bool | None]) -> Numbers:
    values = column.values.copy()
    missing = np.zeros(len(values), bool) if column.missing is None else column.missing.copy()
    for row, truth in rows.items():
        values[row], missing[row] = bool(truth), truth is None
    return Numbers(values, missing)
