"""AWS's published address ranges: which Region and services an address belongs to.

The snapshot is facts of ip-ranges.json; its date stands in every report. A prefix is listed once for each service, and
prefixes nest, so an address belongs to the services of all prefixes that cover it, and to the longest one's Region.
They are laid out as a sorted row of stretches, so that many addresses are looked up at once.
"""

import io
import ipaddress
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from auditor import data
from auditor.border import gate
from auditor.border.rows import objects, reason, text
from auditor.capture.compression import unpacked
from auditor.errors import InputError, shown

Array = np.ndarray[Any, Any]
V4_MAPPED = 0xFFFF << 32
# NAT64's prefixes: 64:ff9b::/96 (RFC 6052 2.1), and 64:ff9b:1::/48 for local use (RFC 8215), of which /96 are taken.
NAT64, LOCAL_NAT64 = np.uint64(0x0064_FF9B_0000_0000), np.uint64(0x0064_FF9B_0001)

# Ranges in which customers run machines of their own: an address there need not be a service endpoint's.
CUSTOMER_RANGES = {"EC2", "GLOBALACCELERATOR", "CLOUDFRONT", "WORKSPACES_GATEWAYS", "CLOUD9", "EC2_INSTANCE_CONNECT"}


class Range(NamedTuple):
    """What the ranges say of an address."""

    region: str | None
    services: frozenset[str]

    @property
    def is_endpoint(self) -> bool:
        """Whether only AWS's own services have addresses there."""
        return not self.services & CUSTOMER_RANGES

    @property
    def service(self) -> str | None:
        """The one service besides AMAZON, in lower case; None where there is none or more than one."""
        named = self.services - {"AMAZON"}
        return next(iter(named)).lower().replace("_", "-") if len(named) == 1 else None


def lay_out(prefixes: Iterable[tuple[int, int, str, str]], bits: int) -> tuple[Array, list[str]]:
    """Nested prefixes (network, length, region, service) of ``bits``-bit addresses as stretches.

    Returns the sorted starts with the number of each stretch's row (0 for none), and the rows as
    ``region|SERVICE SERVICE``.
    """
    merged: dict[tuple[int, int], tuple[str, set[str]]] = {}
    for network, length, region, service in prefixes:
        merged.setdefault((network, length), (region, set()))[1].add(service)
    rows: dict[str, int] = {"": 0}
    stretches: dict[int, int] = {0: 0}
    stack: list[tuple[int, int, set[str]]] = []  # (end, row, services) of the prefixes that cover this place

    def close(until: int) -> None:
        while stack and stack[-1][0] <= until:
            end = stack.pop()[0]
            stretches[end] = stack[-1][1] if stack else 0

    for (network, length), (region, services) in sorted(merged.items()):
        close(network)
        total = services | (stack[-1][2] if stack else set())
        row = rows.setdefault(f"{region}|{' '.join(sorted(total))}", len(rows))
        stretches[network] = row
        stack.append((network + (1 << (bits - length)), row, total))
    close(1 << bits)
    stretches.pop(1 << bits, None)
    starts = sorted(stretches)
    return np.array([starts, [stretches[start] for start in starts]], np.uint64), list(rows)


def without_nat64(high: Array, low: Array) -> tuple[Array, Array]:
    """Addresses with those of NAT64 as the IPv4 addresses that they carry in their last 32 bits."""
    is_nat64 = ((high == NAT64) | (high >> np.uint64(16) == LOCAL_NAT64)) & (low >> np.uint64(32) == 0)
    return np.where(is_nat64, np.uint64(0), high), np.where(is_nat64, low | np.uint64(V4_MAPPED), low)


class Ranges:
    """The address ranges of one snapshot. ``created`` is its date as AWS writes it, ``token`` its syncToken."""

    def __init__(self, created: str, token: str, v4: Array, v6: Array, v4_rows: list[str], v6_rows: list[str]) -> None:
        self.created, self.token = created, token
        self._v4, self._v6 = v4, v6
        self._first_v6 = len(v4_rows)
        self.rows = [self._row(text) for text in v4_rows + v6_rows]

    @staticmethod
    def _row(text: str) -> Range | None:
        if not text:
            return None
        region, _, services = text.partition("|")
        return Range(None if region == "GLOBAL" else region, frozenset(services.split()))

    @property
    def date(self) -> str:
        return "-".join(self.created.split("-")[:3])

    @classmethod
    def from_json(cls, data: bytes) -> "Ranges":
        """From the text of ip-ranges.json. Raises ValueError or KeyError if it is something else."""
        document = gate.from_json(data)
        if not isinstance(document, dict):
            raise gate.RefusedError("no object")
        v4, v6 = [], []
        for p in objects(document, "prefixes"):
            net = ipaddress.IPv4Network(text(p["ip_prefix"]))
            v4.append((int(net.network_address), net.prefixlen, text(p["region"]), text(p["service"])))
        for p in objects(document, "ipv6_prefixes"):
            net6 = ipaddress.IPv6Network(text(p["ipv6_prefix"]))
            # The few prefixes longer than /64 are taken as their /64: one network is never split between Regions.
            network, length = int(net6.network_address) >> 64, min(net6.prefixlen, 64)
            v6.append((network, length, text(p["region"]), text(p["service"])))
        if not v4:
            raise gate.RefusedError("it has no prefixes")
        (four, four_rows), (six, six_rows) = lay_out(v4, 32), lay_out(v6, 64)
        created, token = text(document["createDate"]), text(document["syncToken"])
        return cls(created, token, four, six, four_rows, six_rows)

    def dump(self) -> bytes:
        """All of it as an npz file, for ``shipped``."""
        texts = ["" if r is None else f"{r.region or 'GLOBAL'}|{' '.join(sorted(r.services))}" for r in self.rows]
        header = json.dumps([self.created, self.token, self._first_v6, texts]).encode()
        out = io.BytesIO()
        np.savez_compressed(out, v4=self._v4, v6=self._v6, told=np.frombuffer(header, np.uint8))
        return out.getvalue()

    @classmethod
    @cache
    def shipped(cls) -> "Ranges":
        """The snapshot in ``auditor/data``."""
        with np.load(io.BytesIO(data.FOLDER.joinpath("ip-ranges.npz").read_bytes())) as arrays:
            created, token, first_v6, texts = json.loads(arrays["told"].tobytes())
            return cls(created, token, arrays["v4"], arrays["v6"], texts[:first_v6], texts[first_v6:])

    @classmethod
    def read(cls, path: str | Path) -> "Ranges":
        """A newer ``ip-ranges.json``, perhaps with gzip. Raises InputError naming the file."""
        try:
            return cls.from_json(unpacked(Path(path)))
        except (ValueError, KeyError) as error:
            raise InputError(f"{shown(path)}: not AWS's ip-ranges.json ({reason(error)})") from error

    def rows_of(self, high: Array, low: Array) -> Array:
        """The number in ``rows`` of what covers each address, given as the halves of a 128-bit number.

        IPv4 is ::ffff:a.b.c.d. Row 0 is nothing.
        """
        high, low = without_nat64(np.asarray(high, np.uint64), np.asarray(low, np.uint64))
        is_v4 = (high == 0) & (low >> np.uint64(32) == 0xFFFF)
        v4 = self._v4[1][np.searchsorted(self._v4[0], low & np.uint64(0xFFFFFFFF), "right") - 1]
        v6 = self._v6[1][np.searchsorted(self._v6[0], high, "right") - 1] + np.uint64(self._first_v6)
        return np.asarray(np.where(is_v4, v4, v6), np.int64)

    def covers(self, high: Array, low: Array) -> Array:
        """Whether each address is one of AWS's."""
        return np.array([row is not None for row in self.rows])[self.rows_of(high, low)]

    def find(self, high: Array, low: Array) -> list[Range | None]:
        """What covers each address."""
        return [self.rows[n] for n in self.rows_of(high, low).tolist()]
