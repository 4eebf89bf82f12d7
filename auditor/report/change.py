"""What changed between two audits: by client group and service, not by port numbers or flow numbers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from auditor.border.words import counted
from auditor.policy.findings import WIDTHS, client_group, text_of, widened
from auditor.prefixes import parse
from auditor.report.judged import RuleCoverage
from auditor.report.plain import Row
from auditor.report.results import Results
from auditor.tables.value_sets import SEVERITIES

ASPECTS = {
    "path": "path",
    "tls_version": "TLS version",
    "cipher_suite": "cipher suite",
    "key_exchange_group": "key exchange group",
    "protocol": "protocol",
}
NOT_PROVEN = {"private": "private (not proven)"}  # by addresses alone: it is never shown without saying so
# What was found and is not any more: ``went`` where the rule judged the same traffic and is met, else ``unjudged``.
MARKS = {"came": "+", "went": "-", "changed": "~", "unjudged": "?"}
Key = tuple[str, str]  # client group, service


@dataclass(slots=True)
class Profile:
    """How a client group speaks with a service: flows, and the combinations of aspects that they have."""

    flows: int = 0
    combinations: set[tuple[str | None, ...]] = field(default_factory=set)

    def values(self, aspect: str) -> set[str]:
        """What flows have of an aspect."""
        at = list(ASPECTS).index(aspect)
        return {one for combination in self.combinations if (one := combination[at]) is not None}


def service_of(row: dict[str, Any]) -> str:
    """What a flow is counted with: the AWS service and Region, else the server's name, else its address."""
    if row["service"]:
        return f"{row['service']} {row['region'] or ''}".strip()
    return str(row["server_name"] or row["server_ip"])


def profiles(result: Results) -> dict[Key, Profile]:
    """The profile of each client group and service."""
    by_key: dict[Key, Profile] = {}
    network = lru_cache(1 << 16)(client_group)
    known: dict[tuple[str | None, ...], tuple[str | None, ...]] = {}  # each once, for all profiles
    names = ("client_ip", "server_ip", "server_name", "service", "region", *ASPECTS)
    for row in result.each("flows", *names):
        profile = by_key.setdefault((network(row["client_ip"]), service_of(row)), Profile())
        profile.flows += 1
        aspects = tuple(
            None if (value := row[aspect]) is None else NOT_PROVEN.get(value) or str(value) for aspect in ASPECTS
        )
        profile.combinations.add(known.setdefault(aspects, aspects))
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


def _words(values: set[str]) -> str:
    return ", ".join(sorted(values)) or "none"


def _by_address(key: Sequence[str]) -> tuple[Any, ...]:
    """By which clients and services are listed: networks in the order of their addresses."""
    client, service = key
    return parse(client) if client else (), service


def diff(old: Results, new: Results) -> list[Change]:
    """What came, went and changed, findings first."""
    changes = _findings(old, new)
    before, after = profiles(old), profiles(new)
    for key in sorted(before.keys() | after.keys(), key=_by_address):
        one, two = before.get(key), after.get(key)
        if one is None and two is not None:
            ways = {"path unknown" if one == "unknown" else one for one in two.values("path")}
            values = ", ".join(map(_words, filter(None, (ways, two.values("protocol"), two.values("tls_version")))))
            changes.append(Change("came", "traffic", *key, None, f"{counted(two.flows, 'flow')} ({values})"))
        elif two is None and one is not None:
            changes.append(Change("went", "traffic", *key, counted(one.flows, "flow"), None))
        elif one is not None and two is not None:
            for name, words in ASPECTS.items():
                was, is_now = one.values(name), two.values(name)
                if was != is_now:
                    changes.append(Change("changed", words, *key, _words(was), _words(is_now)))
    return changes


def unchanged(old: Results, new: Results) -> list[Change]:
    """The findings of both audits with the same verdict, worst first: what is still there."""
    before, after = _both(old, new)
    kept = [key for key in before.keys() & after.keys() if before[key]["verdict"] == after[key]["verdict"]]
    kept.sort(key=lambda key: (-SEVERITIES.index(after[key]["severity"]), key[0], *_by_address(key[1:])))
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
    for key in sorted(before.keys() | after.keys(), key=lambda key: (key[0], *_by_address(key[1:]))):
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
