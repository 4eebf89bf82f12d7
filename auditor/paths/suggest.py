"""A topology to complete: what a capture shows of links, each with the evidence for it, for the owner to name."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from auditor.border.text import printable
from auditor.border.words import counted
from auditor.paths.model import PRIVATE_V4

# Python's ``is_private`` has those for documentation and more besides, which nobody's clients have.
PRIVATE_NETWORKS = [ip_network(prefix) for prefix in (*PRIVATE_V4, "fc00::/7")]
MOST_WAYS = 12  # groups of frames that are listed
MOST_NETWORKS = 6
HEAD = """# What the capture shows of links. Nothing of it is asserted: say what each is by taking away the marks of comment,
# and complete it (audit topology init writes an example of every section); then: audit topology check FILE

# [site]
# name = "site"
"""


@dataclass
class _Way:
    """Frames with the same VLANs, far MAC and interface."""

    packets: int = 0
    flows: int = 0
    servers: Counter[str] = field(default_factory=Counter)


def suggested(flows: Iterable[Mapping[str, Any]], network: Iterable[Mapping[str, Any]]) -> str:
    """A topology file, all in comments, of the rows of ``flows`` and ``network``."""
    ways: dict[tuple[str | None, str | None, str | None], _Way] = {}
    clients: Counter[str] = Counter()
    for row in flows:
        packets = (row["client_packets"] or 0) + (row["server_packets"] or 0)
        client = ip_address(row["client_ip"])
        if any(client in network for network in PRIVATE_NETWORKS):
            clients[_network(row["client_ip"])] += packets
        if row["tunnel"] is None and row["server_mac"] is not None:
            way = ways.setdefault((row["interface"], row["vlan"], row["server_mac"]), _Way())
            way.packets, way.flows = way.packets + packets, way.flows + 1
            way.servers[_network(row["server_ip"])] += packets
    addresses: dict[str, set[str]] = {}
    for row in network:
        if row["kind"] == "address" and row["mac"] is not None and row["subject"] is not None:
            addresses.setdefault(row["mac"], set()).add(row["subject"])
    parts = [HEAD]
    if clients:
        listed = ", ".join(f'"{name}"' for name, _ in clients.most_common(MOST_NETWORKS))
        parts.append(f"# on_premises = [{listed}]  # where private clients are\n")
    ranked = sorted(ways.items(), key=lambda item: (-item[1].packets, tuple(map(str, item[0]))))
    for number, (signs, way) in enumerate(ranked[:MOST_WAYS], 1):
        parts.append(_section(number, signs, way, addresses))
    if len(ranked) > MOST_WAYS:
        parts.append(f"\n# and {len(ranked) - MOST_WAYS} more, with fewer packets\n")
    return "".join(parts)


def _section(
    number: int,
    signs: tuple[str | None, str | None, str | None],
    way: _Way,
    addresses: Mapping[str, set[str]],
) -> str:
    interface, vlan, mac = signs
    networks = ", ".join(name for name, _ in way.servers.most_common(MOST_NETWORKS))
    lines = [f"{counted(way.flows, 'flow')}, {counted(way.packets, 'packet')} to {networks}"]
    held = sorted(addresses.get(mac or "", ()))
    if held:
        lines.append(f"ARP, ND or BGP: this MAC has {', '.join(held[:MOST_NETWORKS])}")
    lines.append("[[virtual_interface]]  # or [[uplink]], [[vpn]]; or [[router]] with mac, if it is your own")
    lines.append(f'name = "link-{number}"')
    if vlan is not None:
        lines.append(f'vlan = "{vlan}"')
    lines.append(f'peer_mac = "{mac}"')
    if interface is not None:
        quoted = interface.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'interface = "{quoted}"')
    return "\n" + "".join(f"# {printable(line)}\n" for line in lines)


def _network(address: str) -> str:
    bits = 64 if ":" in address else 24
    return str(ip_network(f"{address}/{bits}", strict=False))
