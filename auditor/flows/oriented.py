"""From the kernels' flow rows to columns: ends put in order of client and server, addresses and tags as text."""

import socket
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from auditor.decode.layers import TUNNEL_NAMES, TUNNELS_WITH_ID
from auditor.decode.packet import EAPOL, ESP, FIN, GROUP_ADDRESS, RST, TCP, UDP
from auditor.flows import frame_columns
from auditor.flows.community_id import community_ids
from auditor.flows.rows import Rows, gather
from auditor.flows.text import write_addresses
from auditor.tables.columns import Bytes, Column, Numbers, Texts, first_of_each

Array = np.ndarray[Any, Any]
TRANSPORTS = {TCP: "tcp", UDP: "udp", ESP: "esp", EAPOL: "eapol"}  # in the order of their numbers
LONGEST_ADDRESS = 46


@dataclass(eq=False, repr=False)
class Oriented:
    """Flow rows by client and server: BOTH rows of each, and 128-bit addresses in halves."""

    client: Array
    server: Array
    client_high: Array
    client_low: Array
    server_high: Array
    server_low: Array
    client_port: Array
    server_port: Array


def _by_role(sides: Array, swapped: Array) -> tuple[Array, Array]:
    """The sides of clients and of servers. Where all clients came first, as nearly always, they are views, not copies."""
    if not swapped.any():
        return sides[:, 0], sides[:, 1]
    every, rows = np.arange(len(sides)), sides.reshape(-1)
    return gather(rows, 2 * every + swapped), gather(rows, 2 * every + ~swapped)


def orient(rows: Rows) -> Oriented:
    flows = rows.flows
    swapped = flows["client"] == 1
    client, server = _by_role(rows.sides, swapped)
    return Oriented(
        client=client,
        server=server,
        client_high=np.where(swapped, flows["b_high"], flows["a_high"]),
        client_low=np.where(swapped, flows["b_low"], flows["a_low"]),
        server_high=np.where(swapped, flows["a_high"], flows["b_high"]),
        server_low=np.where(swapped, flows["a_low"], flows["b_low"]),
        client_port=np.where(swapped, flows["b_port"], flows["a_port"]),
        server_port=np.where(swapped, flows["a_port"], flows["b_port"]),
    )


def address_text(high: int, low: int) -> str:
    """An address as text (RFC 5952)."""
    if high == 0 and low >> 32 == 0xFFFF:
        return socket.inet_ntop(socket.AF_INET, (low & 0xFFFFFFFF).to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, high.to_bytes(8, "big") + low.to_bytes(8, "big"))


def addresses(high: Array, low: Array) -> Bytes:
    """Addresses as text."""
    data, offsets = np.zeros(LONGEST_ADDRESS * len(high), np.uint8), np.zeros(len(high) + 1, np.int64)
    others = np.flatnonzero((high != 0) | (low >> np.uint64(32) != np.uint64(0xFFFF)))
    texts = [address_text(h, w).encode() for h, w in zip(high[others].tolist(), low[others].tolist(), strict=True)]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    write_addresses(high, low, np.frombuffer(b"".join(texts) or b"\0", np.uint8), lengths, data, offsets)
    return Bytes(data[: offsets[-1]], offsets)


def mac_text(number: int) -> str:
    """A MAC as text."""
    return ":".join(f"{number:012x}"[k : k + 2] for k in range(0, 12, 2))


def ends_text(source: int, target: int) -> str:
    """From which MAC to which a frame goes, as far as the capture has them: a cooked one has the sender's alone."""
    if source and target:
        return f"{mac_text(source)} to {mac_text(target)}"
    return f"from {mac_text(source)}" if source else f"to {mac_text(target)}" if target else "without MACs"


def macs(numbers: Array) -> Texts:
    values, index = np.unique(numbers, return_inverse=True)
    return Texts([mac_text(v) if v else None for v in values.tolist()], index)


def vlan_text(tags: int, count: int) -> str | None:
    """Tags from outer to inner."""
    depth = min(count, 5)
    return ".".join(str(tags >> 12 * k & 0xFFF) for k in range(depth - 1, -1, -1)) or None


def tunnel_text(tunnel: int, outer: int, endpoint: int = 0, attachment: int = 0, spi: int = 0) -> str | None:
    """Outer and inner tunnel, then what AWS Gateway Load Balancer says in GENEVE options, or IPsec's association."""

    def one(value: int) -> str:
        kind = value >> 56
        name = TUNNEL_NAMES[kind]
        return f"{name}:{value & 0xFFFFFFFF}" if kind in TUNNELS_WITH_ID else name

    named = [one(value) for value in (outer, tunnel) if value >> 56 in TUNNEL_NAMES]
    if not named:
        return None
    text = "/".join(named)
    if endpoint:
        text += f" vpce-{endpoint:017x}"
    if attachment:
        text += f" attachment-{attachment:x}"
    if spi:
        text += f" spi-{spi:#010x}"
    return text


def _combined(side: Array, names: tuple[str, ...], text: Any) -> Texts:
    """A text column of a function of several fields of a side, called once for each distinct combination."""
    first, index = first_of_each(*(side[name] for name in names))
    return Texts([text(*(int(side[name][at]) for name in names)) for at in first.tolist()], index)


def tcp_state(flows: Array, client: Array, server: Array) -> Texts:
    """Zeek's conn_state of TCP flows; missing for UDP."""
    c_syn, s_syn = client["syn"] != 0, server["syn"] != 0
    c_fin, s_fin = (client["tcp_flags"] & FIN) != 0, (server["tcp_flags"] & FIN) != 0
    c_rst, s_rst = (client["tcp_flags"] & RST) != 0, (server["tcp_flags"] & RST) != 0
    both = c_syn & s_syn
    conditions = [
        (both & c_rst, "RSTO"),
        (both & s_rst, "RSTR"),
        (both & c_fin & s_fin, "SF"),
        (both & c_fin, "S2"),
        (both & s_fin, "S3"),
        (both, "S1"),
        (c_syn & s_rst, "REJ"),
        (c_syn & c_rst, "RSTOS0"),
        (c_syn & c_fin & (server["packets"] == 0), "SH"),
        (c_syn & (server["packets"] == 0), "S0"),
        (s_syn & s_rst & (client["packets"] == 0), "RSTRH"),
        (s_syn & s_fin & (client["packets"] == 0), "SHR"),
    ]
    names = [name for _, name in conditions] + ["OTH"]
    code = np.select([c for c, _ in conditions], range(len(conditions)), len(conditions))
    return Texts(list(names), np.where(flows["ip_protocol"] == TCP, code, -1))


def _with_ip(ids: Bytes, has_ip: Array) -> Column:
    """Community IDs; none of flows without IP, which are no part of them."""
    if has_ip.all():
        return ids
    texts = [ids.data[begin:end].tobytes().decode("ascii") for begin, end in pairwise(ids.offsets.tolist())]
    return Texts.of([text if known else None for text, known in zip(texts, has_ip.tolist(), strict=True)])


def flow_columns(rows: Rows, ends: Oriented, captures: list[str], interfaces: list[str | None]) -> dict[str, Column]:
    """The columns of ``flows`` that packets alone decide."""
    flows, client, server = rows.flows, ends.client, ends.server
    # A side that was not seen has no tags or addresses of its own; the other side's say what this wire is.
    begins = (flows["client"] == 1) ^ (client["packets"] == 0)
    first = gather(rows.sides.reshape(-1), 2 * np.arange(len(flows)) + begins)
    which = np.where(
        (first["interface"] < 0) | (first["interface"] >= len(interfaces)), len(interfaces), first["interface"]
    )
    round_trip = flows["round_trip"]
    back = np.where(
        server["target_mac"] & np.uint64(GROUP_ADDRESS), 0, server["target_mac"]
    )  # to all, as on loopback, is to nobody
    client_mac = np.where(client["source_mac"] != 0, client["source_mac"], back)
    server_mac = np.where(client["target_mac"] != 0, client["target_mac"], server["source_mac"])
    return {
        "flow_id": Numbers(flows["identifier"]),
        "capture": frame_columns.names(rows.sides["first_frame"][:, 0], captures),
        "started": Numbers(flows["started"]),
        "ended": Numbers(flows["ended"]),
        "transport": Texts(list(TRANSPORTS.values()), np.searchsorted(list(TRANSPORTS), flows["ip_protocol"])),
        "client_ip": addresses(ends.client_high, ends.client_low),
        "client_port": Numbers(ends.client_port),
        "server_ip": addresses(ends.server_high, ends.server_low),
        "server_port": Numbers(ends.server_port),
        "community_id": _with_ip(
            community_ids(
                flows["ip_protocol"],
                (
                    (ends.client_high, ends.client_low, ends.client_port),
                    (ends.server_high, ends.server_low, ends.server_port),
                ),
            ),
            flows["ip_protocol"] != EAPOL,
        ),
        "client_packets": Numbers(client["packets"]),
        "server_packets": Numbers(server["packets"]),
        "client_bytes": Numbers(client["bytes"]),
        "server_bytes": Numbers(server["bytes"]),
        "client_mac": macs(client_mac),
        "server_mac": macs(server_mac),
        "vlan": _combined(first, ("vlans", "vlan_count"), vlan_text),
        "tunnel": _combined(first, ("tunnel", "outer_tunnel", "gwlb_endpoint", "gwlb_attachment", "spi"), tunnel_text),
        "interface": Texts([*interfaces, None], which),
        "tcp_state": tcp_state(flows, client, server),
        "rtt_ms": Numbers(round_trip / 1e6, round_trip < 0),
    }
