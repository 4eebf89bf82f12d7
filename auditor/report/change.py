"""What changed between two audits: by client group and service, not by port numbers or flow numbers."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from auditor.border.words import counted
from auditor.policy.findings import WIDTHS, client_group, text_of, widened
from auditor.prefixes import parse
from auditor.report.judged import RuleCoverage
from auditor.report.plain import Row
from auditor.report.results import Results
from auditor.tables.closed import SEVERITIES

ASPECTS = {
    "path": "path",
    "tls_version": "TLS version",
    "cipher_suite": "cipher suite",
    "key_exchange_group": "key exchange group",
    "protocol": "protocol",
}
# What was found and is not any more: ``went`` where the rule judged the same traffic and is met, else ``unjudged``.
MARKS = {"came": "+", "went": "-", "changed": "~", "unjudged": "?"}
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
    for row in result.each("flows", *names):
        profile = by_key.setdefault((client_group(row["client_ip"]), service_of(row)), Profile())
        profile.flows += 1
        for aspect, counts in profile.aspects.items():
            if row[aspect] is not None:
                counts[row[aspect]] += 1
    return by_key


@dataclass(frozen=True)
class Change:
    """One change: ``kind`` is came, went, changed or unjudged; ``about`` what it is about (service, finding, or an aspect)."""

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
        if self.kind == "unjudged":
            return f"{parties}: {self.about} no longer judged: {self.after} (was {self.before})"
        if self.kind == "came" and self.before is not None:
            return f"{parties}: {self.about} came: {self.after} ({self.before})"
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
            changes.append(Change("came", "traffic", *key, None, f"{counted(two.flows, 'flow')} ({values})"))
        elif two is None and one is not None:
            changes.append(Change("went", "traffic", *key, counted(one.flows, "flow"), None))
        elif one is not None and two is not None:
            for name, words in ASPECTS.items():
                if set(one.aspects[name]) != set(two.aspects[name]):
                    was, is_now = _values(one.aspects[name]), _values(two.aspects[name])
                    changes.append(Change("changed", words, *key, was, is_now))
    return changes


def unchanged(old: Results, new: Results) -> list[Change]:
    """The findings of both audits with the same verdict, worst first: what is still there."""
    before, after = _both(old, new)
    kept = [key for key in before.keys() & after.keys() if before[key]["verdict"] == after[key]["verdict"]]
    kept.sort(key=lambda key: (-SEVERITIES.index(after[key]["severity"]), key))
    words = [[f"{row['severity']}: {row['reason']}" for row in (before[key], after[key])] for key in kept]
    return [
        Change("still", f"finding {key[0]}", *key[1:], was, is_now)
        for key, (was, is_now) in zip(kept, words, strict=True)
    ]


def _both(old: Results, new: Results) -> tuple[dict[tuple[str, str, str], Row], dict[tuple[str, str, str], Row]]:
    """The findings of both audits by rule, client network and service, networks as wide in one as in the other."""
    names = ("rule", "client_group", "service", "region", "verdict", "severity", "title", "reason")
    one, two = (list(result.rows("findings", *names)) for result in (old, new))
    widths = _widths([*one, *two])
    return _by_key(one, widths), _by_key(two, widths)


def _findings(old: Results, new: Results) -> list[Change]:
    before, after = _both(old, new)
    keys = before.keys() ^ after.keys()
    judged_before, judged_after = RuleCoverage(old, keys - before.keys()), RuleCoverage(new, keys - after.keys())
    changes: list[tuple[tuple[int, int], Change]] = []
    for key in sorted(before.keys() | after.keys()):
        one, two = before.get(key), after.get(key)
        was, is_now = (f"{row['severity']}: {row['reason']}" if row is not None else None for row in (one, two))
        kind = "changed"
        if one is None:
            kind = "came"
            was = None if (why := judged_before.lacking(key)) is None else f"not judged before: {why}"
        elif two is None:
            is_now = judged_after.lacking(key)
            kind = "went" if is_now is None else "unjudged"
        elif one["verdict"] == two["verdict"]:
            continue
        else:
            was, is_now = one["verdict"], two["verdict"]
        worst = max(SEVERITIES.index(row["severity"]) for row in (one, two) if row is not None)
        change = Change(kind, f"finding {key[0]}", *key[1:], was, is_now)
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
