"""Rows of the table ``captures``."""

from typing import Any

from auditor.capture.inputs import Input
from auditor.flows import state as S
from auditor.reading.events import Counted


def _capture_row(item: Input, counted: Counted) -> dict[str, Any]:
    c, notes, sha256 = counted.counters, counted.notes, item.sha256()
    packets = int(c[S.PACKETS])
    warnings = [*notes.warnings, *counted.warnings]
    if not packets and notes.status == "complete":
        warnings.append("holds no packets")
    if item.was_changed():
        warnings.append(f"was written to while it was read: what is told is of its first {counted.bytes} bytes")
    if c[S.DUPLICATES]:
        warnings.append(
            f"{c[S.DUPLICATES]} packets are in it twice, as mirrors of both ends show them; each counts once"
        )
    fragments = counted.fragments
    if fragments.incomplete:
        warnings.append(f"{fragments.incomplete} fragmented IP datagrams never became whole")
    if fragments.overlapping:
        warnings.append(f"{fragments.overlapping} IP fragments overlap others: an attack, or a broken sender")
    if counted.control.left_out:
        warnings.append("more addresses, ICMP errors or BGP than is kept: the table network is not complete")
    names = [name for name in counted.interfaces if name]
    return {
        "capture": item.name,
        "sha256": sha256,
        "bytes": counted.bytes,
        "format": notes.format,
        "compression": notes.compression,
        "link_types": notes.link_names(),
        "interfaces": " ".join(names) or None,
        "packets": packets,
        "duplicates": int(c[S.DUPLICATES]),
        "wire_bytes": int(c[S.WIRE_BYTES]),
        "started": int(c[S.FIRST_TIME]) if packets else None,
        "ended": int(c[S.LAST_TIME]) if packets else None,
        "flows": counted.flows,
        "handshakes": counted.handshakes,
        "not_ip": int(c[S.NOT_IP_PACKETS]),
        "other_ip": int(c[S.OTHER_IP_PACKETS]),
        "fragments": fragments.seen,
        "reassembled": fragments.whole,
        "incomplete": fragments.incomplete,
        "short": int(c[S.SHORT_PACKETS]),
        "cut": int(c[S.CUT_PACKETS]),
        "malformed": int(c[S.MALFORMED_PACKETS]),
        "encrypted": int(c[S.ENCRYPTED_PACKETS]),
        "dropped": counted.dropped,
        "segments_dropped": int(c[S.DROPPED_SEGMENTS]),
        "secrets": counted.secrets,
        "status": notes.status,
        "damage_offset": notes.damage_offset,
        "warnings": "; ".join(warnings) or None,
    }


def _lacks(line: dict[str, Any]) -> list[str]:
    """What a capture lacks of what was on the wire, as far as it tells."""
    told = {
        "dropped": "packets were dropped while capturing",
        "short": "packets are cut off by the snapshot length",
        "cut": "packets end inside a header",
        "incomplete": "fragmented IP datagrams never became whole",
        "segments_dropped": "TCP segments came with too many gaps",
    }
    lacks = [f"{line[name]} {words}" for name, words in told.items() if line[name]]
    if line["status"] != "complete":
        lacks.append(f"the file is {line['status']} at byte {line['damage_offset']}")
    return lacks
