"""What stands behind the answer, for terminal, page and Markdown: paths by version, what was not judged and why, warnings."""

import re
from collections import Counter
from typing import NamedTuple

from auditor.border.text import printable
from auditor.border.words import BETWEEN, counted
from auditor.report.answer import VERDICTS, is_judged
from auditor.report.results import Results
from auditor.tables.value_sets import CONFIDENCES, PATHS
from auditor.tables.versions import VERSION_ORDER

NOT_JUDGED = "not_applicable"
TLS_UNKNOWN = "TLS ?"  # TLS whose version was not seen, as the summary has it
WHICH = "by which way is not known"  # of what goes between private addresses
UNNAMED = "-"  # the protocol of flows of which it was not recognised


class OverviewLine(NamedTuple):
    """Flows that took one path with one version or protocol: those that were judged, and those to AWS."""

    path: str
    confidence: str
    half_private: bool
    protocol: str
    verdicts: Counter[str]

    @property
    def flows(self) -> int:
        return self.verdicts.total()

    @property
    def words(self) -> str:
        """The path in words."""
        return path_words(self.path, self.confidence, half_private=self.half_private)


def path_words(path: str, confidence: str, *, half_private: bool) -> str:
    """A path, and how well it is proven: ``private`` is never said without."""
    if path == "private":
        return f"private {'addresses' if confidence == 'none' else f'({confidence})'}, {WHICH}"
    name = "unknown" if path == "unknown" else f"{path} ({confidence})"
    return f"{name}, one way only" if half_private else name


def lines(result: Results) -> list[OverviewLine]:
    """Flows by path and version, paths in their order, proven ones first, newest versions first."""
    counts: dict[tuple[str, str, bool, str], Counter[str]] = {}
    for row in result.manifest["summary"]:
        if is_judged(row["verdict"]) or row["in_scope"]:
            key = (row["path"], row["confidence"], row["half_private"], row["protocol"])
            counts.setdefault(key, Counter())[row["verdict"]] += row["flows"]
    return sorted((OverviewLine(*key, verdicts) for key, verdicts in counts.items()), key=_rank)


def _rank(line: OverviewLine) -> tuple[int, int, bool, int, str]:
    known = line.protocol in VERSION_ORDER
    newest = -VERSION_ORDER.index(line.protocol) if known else 1
    return PATHS.index(line.path), -CONFIDENCES.index(line.confidence), line.half_private, newest, line.protocol


def shown_verdicts(some: list[OverviewLine]) -> list[str]:
    """The verdicts that some of the flows have, worst first."""
    return [name for name in (*VERDICTS, NOT_JUDGED) if any(line.verdicts[name] for line in some)]


IN_CLEAR = {f"{name}-clear": f"{name} in clear" for name in ("smb", "ssh")}  # what encrypts elsewhere


def protocol_words(name: str) -> str:
    """A protocol or version in words."""
    if name.startswith(
        "0x"
    ):  # a version that has no name; DTLS counts down from 0xffff, and before its RFC it had 0x0100
        return f"{'DTLS' if name.startswith(('0xf', '0x01')) else 'TLS'} {name}"
    return {UNNAMED: "not recognised", TLS_UNKNOWN: "TLS, version unknown", **IN_CLEAR}.get(name, name)


def is_version(words: str) -> bool:
    """Whether a protocol in words is TLS of a version that has no name, or was not seen."""
    return words == protocol_words(TLS_UNKNOWN) or " 0x" in words


def not_judged(result: Results) -> tuple[Counter[str], Counter[str]]:
    """The flows that no rule judged, by protocol: those to AWS, and all others."""
    to_aws: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in result.manifest["summary"]:
        if not is_judged(row["verdict"]):
            (to_aws if row["in_scope"] else others)[protocol_words(row["protocol"])] += row["flows"]
    return to_aws, others


def not_judged_words(result: Results, most: int = 12) -> list[tuple[str, str]]:
    """The same in words: what they are, and how many there are of each protocol."""
    words = []
    heads = ("Flows to AWS that no rule is about", "Other flows, not judged")
    for head, counts in zip(heads, not_judged(result), strict=True):
        if counts:
            named = [f"{count:,} {printable(name)}" for name, count in counts.most_common(most)]
            rest = sum(counts.values()) - sum(count for _, count in counts.most_common(most))
            words.append((head, ", ".join(named) + (f" and {rest:,} of other protocols" if rest else "")))
    return words


class NotJudged(NamedTuple):
    """Why flows could not be judged by some rules."""

    reason: str
    flows: int
    rules: tuple[str, ...]


def unseen(result: Results) -> list[NotJudged]:
    """Why flows could not be judged, most flows first; rules of which it is true of as many flows stand together."""
    rules: dict[tuple[int, str], list[str]] = {}
    for rule, reasons in result.manifest["not_observable"].items():
        for one in reasons:
            rules.setdefault((-one["flows"], one["reason"]), []).append(rule)
        missing = result.manifest["rules"].get(rule, {}).get("not_observable", 0) - sum(one["flows"] for one in reasons)
        if missing > 0:
            rules.setdefault((-missing, "other reasons"), []).append(rule)
    return [NotJudged(reason, -flows, tuple(some)) for (flows, reason), some in sorted(rules.items())]


class WarningKind(NamedTuple):
    """A kind of warning: the first of them, and the captures that have one; whether numbers in it differ among these."""

    text: str
    captures: tuple[str, ...]
    differs: bool = False

    @property
    def words(self) -> str:
        """Whose warning it is, and what it says."""
        more = len(self.captures) - 1
        others = f" and {counted(more, 'more capture')}" if more else ""
        numbers = " (the numbers are those of the first)" if self.differs else ""
        return f"{printable(self.captures[0])}{others}: {printable(self.text)}{numbers}"


def warned(result: Results) -> list[WarningKind]:
    """The warnings of all captures by kind: what differs in numbers alone is one kind; of most captures first."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for row in result.rows("captures", "capture", "warnings"):
        for text in (row["warnings"] or "").split(BETWEEN):
            if text:
                kinds.setdefault(re.sub(r"\d+", "#", text), []).append((row["capture"], text))
    found = [
        WarningKind(some[0][1], tuple(dict.fromkeys(name for name, _ in some)), len({text for _, text in some}) > 1)
        for some in kinds.values()
    ]
    return sorted(found, key=lambda one: -len(one.captures))


def span(result: Results) -> tuple[int, int] | None:
    """When the captures began and ended; None where they hold no packets."""
    rows = result.rows("captures", "started", "ended")
    starts = [row["started"] for row in rows if row["started"] is not None]
    ends = [row["ended"] for row in rows if row["ended"] is not None]
    return (min(starts), max(ends)) if starts and ends else None
