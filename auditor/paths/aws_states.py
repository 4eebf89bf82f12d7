"""Whether what AWS's command line lists of Direct Connect is up: connections, LAGs, attachments, BGP sessions.

A virtual interface says of itself that it is available while the connection under it is down, or while the Direct Connect
gateway above it was detached (Direct Connect API Reference, VirtualInterface, Connection, DirectConnectGatewayAttachment).
"""

from collections.abc import Mapping
from typing import Any

from auditor.border import rows

Row = dict[str, Any]
GONE = {"deleted", "deleting", "rejected", "failed"}
STANDING = {"available", "unknown"}  # states of a connection or LAG that may carry something
ATTACHED = {"attached", "unknown"}


class Lists(dict[str, list[str]]):
    """Lists of texts by name."""

    def add(self, name: str, some: list[str]) -> None:
        self.setdefault(name, []).extend(some)


def text(row: Row, name: str) -> str | None:
    """A member that is a text; None where it is missing or empty. Raises ValueError where it is something else."""
    return rows.member(row, name, str) or None


def distinct(values: Any) -> list[Any]:
    """Values that are something, each once."""
    return [value for value in dict.fromkeys(values) if value]


def port(what: str, key: str, row: Row) -> tuple[str, str] | None:
    """The name and state of a connection or LAG, in words, where nothing goes over it."""
    name, state = (rows.member(row, f"{key}{member}", str) for member in ("Id", "State"))
    return (name, f"{what} {state}") if name and state and state not in STANDING else None


def attachment(row: Row) -> tuple[str, bool]:
    """A virtual interface, and whether an attachment of it to a Direct Connect gateway stands."""
    return rows.member(row, "virtualInterfaceId", str), row.get("attachmentState", "attached") in ATTACHED


def of_interface(row: Row, down: Mapping[str, str], without_gateway: set[str]) -> str | None:
    """A virtual interface's state; where it says "available", what is down under it, above it, or of its BGP sessions."""
    state = rows.member(row, "virtualInterfaceState", str) or None
    if state != "available":
        return state
    if (port := down.get(rows.member(row, "connectionId", str))) is not None:
        return port
    if row.get("directConnectGatewayId") and row.get("virtualInterfaceId") in without_gateway:
        return "detached from its gateway"
    status = [peer.get("bgpStatus") for peer in rows.objects(row, "bgpPeers")]
    return "BGP down" if status and all(one == "down" for one in status) else state


def families(row: Row) -> set[bool]:
    """Which addresses a virtual interface carries, IPv4 (False) or IPv6 (True): each has a BGP session of its own.

    Where no session stands its state says so, and where none is listed any may be.
    """
    peers = [peer for peer in rows.objects(row, "bgpPeers") if rows.member(peer, "addressFamily", str)]
    standing = [p for p in peers if p.get("bgpStatus") != "down" and p.get("bgpPeerState") not in GONE] or peers
    return {peer["addressFamily"] == "ipv6" for peer in standing} or {False, True}
