"""What changed between two audits: by client group and service, not by port numbers or flow numbers."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from auditor.border.text import printable
from auditor.policy.findings import WIDTHS, client_group, text_of, widened
from auditor.prefixes import parse
from auditor.report.plain import Row
from auditor.report.results import Results
from auditor.tables.schema import SEVERITIES

ASPECTS = {
    "path": "path",
    "tls_version": "TLS version",
    "cipher_suite": "cipher suite",
    "key_exchange_group": "key exchange group",
    "protocol": "protocol",
}
MARKS = {"came": "+", "went": "-", "changed": "~"}
Key = tuple[str, str]  # client group, service


@dataclass
class Profile:
    """How a client group speaks with a service: flows, and how many of them have each value of an aspect."""

    flows: int = 0
    aspects: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in ASPECTS})


def service_of(row: dict[str, Any]) -> str:
    """What a flow is counted with: the AWS service and Region, else the server's name, else its address."""
    if row["service"]:
        return f"{row['service']} {row['region'] or ''}".strip()
    return str(row["server_name"] or row["server_ip"])


def profiles(result: Results) -> dict[Key, Profile]:
    """The profile of each client group and service."""
    by_key: dict[Key, Profile] = {}
    names = ("client_ip", "server_ip", "server_name", "service", "region", *ASPECTS)
    for row in result.rows("flows", *names):
        profile = by_key.setdefault((client_group(row["client_ip"]), service_of(row)), Profile())
        profile.flows += 1
        for aspect, counts in profile.aspects.items():
            if row[aspect] is not None:
                counts[row[aspect]] += 1
    return by_key


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
        parties = f"{self.client} → {self.service}" if self.client else self.service
        if self.kind == "changed":
            return f"{parties}: {self.about}: {self.before} → {self.after}"
        value = self.after if self.kind == "came" else self.before
        return f"{parties}: {self.about} {self.kind}: {value}"

    def out(self) -> dict[str, Any]:
        return asdict(self)


def _values(counts: "Counter[str]") -> str:
    return ", ".join(sorted(counts)) or "none"


def diff(old: Results, new: Results) -> list[Change]:
    """What came, went and changed, findings first."""
    changes = _findings(old, new)
    before, after = profiles(old), profiles(new)
    for key in sorted(before.keys() | after.keys()):
        one, two = before.get(key), after.get(key)
        if one is None and two is not None:
            values = ", ".join(
                _values(two.aspects[name]) for name in ("path", "protocol", "tls_version") if two.aspects[name]
            )
            changes.append(Change("came", "traffic", *key, None, f"{two.flows} flows ({values})"))
        elif two is None and one is not None:
            changes.append(Change("went", "traffic", *key, f"{one.flows} flows", None))
        elif one is not None and two is not None:
            for name, words in ASPECTS.items():
                if set(one.aspects[name]) != set(two.aspects[name]):
                    was, is_now = _values(one.aspects[name]), _values(two.aspects[name])
                    changes.append(Change("changed", words, *key, was, is_now))
    return changes


def _findings(old: Results, new: Results) -> list[Change]:
    names = ("rule", "client_group", "service", "region", "verdict", "severity", "title", "reason")
    both = [list(result.rows("findings", *names)) for result in (old, new)]
    before, after = (_by_key(rows, _widths([*both[0], *both[1]])) for rows in both)
    changes: list[tuple[tuple[int, int], Change]] = []
    for key in sorted(before.keys() | after.keys()):
        rule, client, service = key
        one, two = before.get(key), after.get(key)
        words = [f"{row['severity']}: {row['reason']}" if row is not None else None for row in (one, two)]
        kind = "came" if one is None else "went" if two is None else "changed"
        if one is not None and two is not None:
            if one["verdict"] == two["verdict"]:
                continue
            words = [one["verdict"], two["verdict"]]
        worst = max(SEVERITIES.index(row["severity"]) for row in (one, two) if row is not None)
        change = Change(kind, f"finding {rule}", client, service, words[0], words[1])
        changes.append(((list(MARKS).index(kind), -worst), change))
    return [change for _, change in sorted(changes, key=lambda ranked: ranked[0])]


def _widths(rows: list[Row]) -> dict[str, tuple[int, int]]:
    """The widest network that each rule is reported for: findings of many clients are reported for wider ones."""
    widest: dict[str, tuple[int, int]] = {}
    for row in rows:
        if row["client_group"]:
            version, _, length = parse(row["client_group"])
            width = next((one for one in reversed(WIDTHS) if one[version == 6] >= length), WIDTHS[0])
            widest[row["rule"]] = min(widest.get(row["rule"], width), width)
    return widest


def _by_key(rows: list[Row], widths: dict[str, tuple[int, int]]) -> dict[tuple[str, str, str], Row]:
    """Findings by rule, client network and service; the worst of each."""
    worst: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        client = text_of(widened(parse(row["client_group"]), widths[row["rule"]])) if row["client_group"] else ""
        key = (row["rule"], client, f"{row['service']} {row['region'] or ''}".rstrip())
        if key not in worst or row["verdict"] == "fail":
            worst[key] = row
    return worst


def text(changes: list[Change]) -> str:
    """The changes, a line each, by kind."""
    if not changes:
        return "Nothing changed.\n"
    return "".join(f"{MARKS[change.kind]} {printable(change.words)}\n" for change in changes)


def json_text(changes: list[Change]) -> str:
    """The changes as a JSON list."""
    return json.dumps([change.out() for change in changes], indent=1, ensure_ascii=False) + "\n"
