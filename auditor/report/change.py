"""What changed between two audits: by client group and service, not by port numbers or flow numbers."""

import ipaddress
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from auditor.report.records import printable

if TYPE_CHECKING:
    from auditor.report.audit import Audit

ASPECTS = {
    "path": "path",
    "tls_version": "TLS version",
    "cipher_suite": "cipher suite",
    "key_exchange_group": "key exchange group",
    "protocol": "protocol",
}
GROUP_BITS = {4: 24, 6: 64}


def client_group(address: str) -> str:
    """The network that a client is counted with: /24 of IPv4, /64 of IPv6."""
    ip = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((ip, GROUP_BITS[ip.version]), strict=False))


@dataclass
class Profile:
    """How a client group speaks with a service: flows, and how many of them have each value of an aspect."""

    flows: int = 0
    aspects: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in ASPECTS})


Key = tuple[str, str]  # client group, service


def service_of(row: dict[str, Any]) -> str:
    """What a flow is counted with: the AWS service and Region, else the server's name, else its address."""
    if row["service"]:
        return f"{row['service']} {row['region'] or ''}".strip()
    return str(row["server_name"] or row["server_ip"])


def profiles(result: "Audit") -> dict[Key, Profile]:
    """The profile of each client group and service."""
    found: dict[Key, Profile] = {}
    names = ("client_ip", "server_ip", "server_name", "service", "region", *ASPECTS)
    for row in result.rows("flows", *names):
        profile = found.setdefault((client_group(row["client_ip"]), service_of(row)), Profile())
        profile.flows += 1
        for aspect, counts in profile.aspects.items():
            if row[aspect] is not None:
                counts[row[aspect]] += 1
    return found


@dataclass(frozen=True)
class Change:
    """One change: ``kind`` is came, went or changed; ``about`` what it is about (service, finding, or an aspect)."""

    kind: str
    about: str
    client: str
    service: str
    before: str | None
    after: str | None

    @property
    def words(self) -> str:
        """The change in a sentence."""
        who = f"{self.client} → {self.service}" if self.client else self.service
        if self.kind == "changed":
            return f"{who}: {self.about}: {self.before} → {self.after}"
        told = self.after if self.kind == "came" else self.before
        return f"{who}: {self.about} {self.kind}: {told}"

    def out(self) -> dict[str, Any]:
        return asdict(self)


def _values(counts: "Counter[str]") -> str:
    return ", ".join(sorted(counts)) or "none"


def diff(old: "Audit", new: "Audit") -> list[Change]:
    """What came, went and changed, findings first."""
    changes = _findings(old, new)
    before, after = profiles(old), profiles(new)
    for key in sorted(before.keys() | after.keys()):
        one, two = before.get(key), after.get(key)
        if one is None and two is not None:
            told = ", ".join(
                _values(two.aspects[name]) for name in ("path", "protocol", "tls_version") if two.aspects[name]
            )
            changes.append(Change("came", "traffic", *key, None, f"{two.flows} flows ({told})"))
        elif two is None and one is not None:
            changes.append(Change("went", "traffic", *key, f"{one.flows} flows", None))
        elif one is not None and two is not None:
            for name, words in ASPECTS.items():
                if set(one.aspects[name]) != set(two.aspects[name]):
                    was, is_now = _values(one.aspects[name]), _values(two.aspects[name])
                    changes.append(Change("changed", words, *key, was, is_now))
    return changes


def _findings(old: "Audit", new: "Audit") -> list[Change]:
    names = ("rule", "server", "verdict", "severity", "title", "reason")
    before, after = (
        {(row["rule"], row["server"]): row for row in result.rows("findings", *names)} for result in (old, new)
    )
    changes = []
    for key in sorted(after.keys() - before.keys()):
        row = after[key]
        changes.append(Change("came", f"finding {key[0]}", "", key[1], None, f"{row['severity']}: {row['reason']}"))
    for key in sorted(before.keys() - after.keys()):
        row = before[key]
        changes.append(Change("went", f"finding {key[0]}", "", key[1], f"{row['severity']}: {row['reason']}", None))
    for key in sorted(before.keys() & after.keys()):
        one, two = before[key], after[key]
        if one["verdict"] != two["verdict"]:
            changes.append(Change("changed", f"finding {key[0]}", "", key[1], one["verdict"], two["verdict"]))
    return changes


def text(changes: list[Change]) -> str:
    """The changes, a line each, by kind."""
    if not changes:
        return "Nothing changed.\n"
    marks = {"came": "+", "went": "-", "changed": "~"}
    return "".join(f"{marks[change.kind]} {printable(change.words)}\n" for change in changes)
