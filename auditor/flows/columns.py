"""From the kernels' flow rows to columns: ends put in order of client and server, addresses and tags as text."""

import socket
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from auditor import tables
from auditor.decode.packet import FIN, RST, TCP, TUNNEL_NAMES, TUNNELS_WITH_ID
from auditor.flows.rows import Rows

Array = np.ndarray[Any, Any]


@dataclass
class Oriented:
    """Flow rows by client and server: SIDE rows of each, and 128-bit addresses in halves."""

    client: Array
    server: Array
    client_high: Array
    client_low: Array
    server_high: Array
    server_low: Array
    client_port: Array
    server_port: Array


def orient(rows: Rows) -> Oriented:
    flows = rows.flows
    swapped = flows["client"] == 1
    every = np.arange(len(flows))
    return Oriented(
        client=rows.sides[every, swapped.astype(int)],
        server=rows.sides[every, 1 - swapped.astype(int)],
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


def unique_pairs(high: Array, low: Array) -> tuple[Array, Array, Array]:
    """Distinct (high, low) pairs and the number of each row's pair; quick where all the high halves are equal."""
    if len(high) and (high == high[0]).all():
        values, index = np.unique(low, return_inverse=True)
        return np.full(len(values), high[0]), values, index
    pairs = np.empty(len(high), [("high", "u8"), ("low", "u8")])
    pairs["high"], pairs["low"] = high, low
    values, index = np.unique(pairs, return_inverse=True)
    return values["high"], values["low"], index


def text_column(texts: list[str | None], index: Array) -> Any:
    """A text column whose row n is ``texts[index[n]]`` (texts may be missing, and may repeat)."""
    codes: dict[str, int] = {}
    of_text = np.array([-1 if t is None else codes.setdefault(t, len(codes)) for t in texts] or [-1], np.int32)
    rows = of_text[index]
    return pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32(), mask=rows < 0), pa.array(list(codes), pa.string()))


def addresses(high: Array, low: Array) -> Any:
    highs, lows, index = unique_pairs(high, low)
    return text_column([address_text(h, l) for h, l in zip(highs.tolist(), lows.tolist(), strict=True)], index)


def macs(numbers: Array) -> Any:
    values, index = np.unique(numbers, return_inverse=True)
    texts = [":".join(f"{v:012x}"[k : k + 2] for k in range(0, 12, 2)) if v else None for v in values.tolist()]
    return text_column(texts, index)


def vlan_text(tags: int, count: int) -> str | None:
    """Tags from outer to inner."""
    depth = min(count, 5)
    return ".".join(str(tags >> 12 * k & 0xFFF) for k in range(depth - 1, -1, -1)) or None


def tunnel_text(tunnel: int, outer: int, endpoint: int, attachment: int) -> str | None:
    """Outer and inner tunnel, then what AWS Gateway Load Balancer says in GENEVE options."""

    def one(value: int) -> str:
        kind = value >> 56
        name = TUNNEL_NAMES[kind]
        return f"{name}:{value & 0xFFFFFF}" if kind in TUNNELS_WITH_ID else name

    if not tunnel:
        return None
    text = f"{one(outer)}/{one(tunnel)}" if outer else one(tunnel)
    if endpoint:
        text += f" vpce-{endpoint:017x}"
    if attachment:
        text += f" attachment-{attachment:x}"
    return text


def _combined(side: Array, names: tuple[str, ...], text: Any) -> Any:
    """A text column of a function of several fields of a side, called once for each distinct combination."""
    packed = np.stack([side[name].astype(np.uint64) for name in names], axis=1)
    if len(packed) and (packed == packed[0]).all():
        return text_column([text(*packed[0].tolist())], np.zeros(len(packed), int))
    values, index = np.unique(packed, axis=0, return_inverse=True)
    return text_column([text(*row) for row in values.tolist()], index.ravel())


def tcp_state(flows: Array, client: Array, server: Array) -> Any:
    """Zeek's conn_state of TCP flows; missing for UDP."""
    c_syn, s_syn = client["syn"] != 0, server["syn"] != 0
    c_fin, s_fin = (client["flags"] & FIN) != 0, (server["flags"] & FIN) != 0
    c_rst, s_rst = (client["flags"] & RST) != 0, (server["flags"] & RST) != 0
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
    mask = flows["ip_protocol"] != TCP
    return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int16), mask=mask), pa.array(names))


def flow_columns(rows: Rows, ends: Oriented, capture: str, interfaces: list[str | None]) -> dict[str, Any]:
    """The columns of ``flows`` that packets alone decide."""
    flows, client, server = rows.flows, ends.client, ends.server
    count = len(flows)
    # A side that was not seen has no tags or addresses of its own; the other side's say what this wire is.
    seen = np.where((client["packets"] > 0), 0, 1)
    first = np.where(seen == 0, client, server)
    names = [*interfaces, None]
    which = np.where((first["interface"] < 0) | (first["interface"] >= len(interfaces)), len(interfaces), first["interface"])
    round_trip = flows["round_trip"]
    client_mac = np.where(client["packets"] > 0, client["source_mac"], server["target_mac"])
    server_mac = np.where(client["packets"] > 0, client["target_mac"], server["source_mac"])
    return {
        "flow_id": flows["identifier"],
        "capture": text_column([capture], np.zeros(count, int)),
        "started": pa.array(flows["started"]).cast(tables.TIME),
        "ended": pa.array(flows["ended"]).cast(tables.TIME),
        "transport": pa.DictionaryArray.from_arrays(
            pa.array((flows["ip_protocol"] != TCP).astype(np.int16)), pa.array(["tcp", "udp"])
        ),
        "client_ip": addresses(ends.client_high, ends.client_low),
        "client_port": ends.client_port.astype(np.int64),
        "server_ip": addresses(ends.server_high, ends.server_low),
        "server_port": ends.server_port.astype(np.int64),
        "client_packets": client["packets"],
        "server_packets": server["packets"],
        "client_bytes": client["bytes"],
        "server_bytes": server["bytes"],
        "client_mac": macs(client_mac),
        "server_mac": macs(server_mac),
        "vlan": _combined(first, ("vlans", "vlan_count"), vlan_text),
        "tunnel": _combined(
            first, ("tunnel", "outer_tunnel", "gwlb_endpoint", "gwlb_attachment"), tunnel_text
        ),
        "interface": text_column(names, which),
        "tcp_state": tcp_state(flows, client, server),
        "rtt_ms": pa.array(round_trip / 1e6, mask=round_trip < 0),
    }
