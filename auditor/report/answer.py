"""Was this traffic private? The one sentence that answers, and the numbers in it: for the terminal, the page and Python alike."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from auditor.border.words import counted
from auditor.policy.registry import CHECKS
from auditor.report.plain import Row
from auditor.report.results import Results

PRIVATE_PATHS = ("direct-connect", "vpn", "vpc")
# What can be said of the way of a flow, best first.
WAYS = ("proven", "likely", "half", "not private", "unknown")
VERDICTS = ("fail", "warn", "not_observable", "pass")  # of flows that were judged, worst first


def way(path: str, confidence: str, half_private: bool) -> str:
    """What can be said of a flow's privacy; ``half_private``: one direction went over the internet."""
    if path not in (*PRIVATE_PATHS, "internet") or confidence == "none":
        return "unknown"
    if path == "internet":
        return "not private"
    return "half" if half_private else "proven" if confidence == "confirmed" else "likely"


def way_of(flow: Row) -> str:
    """``way`` of a row of ``flows`` with all columns of the path."""
    half = flow["path_asymmetric"] is True and "internet" in (flow["path_out"], flow["path_back"])
    return way(flow["path"], flow["path_confidence"], half)


def is_judged(verdict: str) -> bool:
    """Whether a flow with that verdict was judged: whatever its server is."""
    return verdict != "not_applicable"


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """How many flows there are, how many were judged, which way these went, and what came of it."""

    flows: int
    judged: int
    to_aws: int  # of those judged
    aws_not_judged: int  # to AWS, and no rule was about them
    ways: Counter[str] = field(default_factory=Counter)  # by WAYS, of those judged
    likely_exposed: int = 0  # of the ways that are "not private"
    verdicts: Counter[str] = field(default_factory=Counter)  # of those judged
    has_topology: bool = False
    is_about_all: bool = False  # rules about protection are about all traffic, not only that to AWS

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        return self._judged() if self.judged else self._nothing()

    def _nothing(self) -> str:
        if not self.flows:
            return "Nothing was judged: no flow was seen."
        if self.is_about_all:
            return f"Nothing was judged: no rule of these policies is about what {counted(self.flows, 'flow')} carried."
        if self.aws_not_judged:
            return f"Nothing was judged: no rule of these policies is about what {counted(self.aws_not_judged, 'flow')} to AWS carried."
        return "Nothing was judged: these policies are about traffic to AWS, of which there is none; --all judges everything."

    def _judged(self) -> str:
        ways, proven = self.ways, self.ways["proven"]
        whose = " to AWS" if self.to_aws == self.judged else f", {self.to_aws:,} of them to AWS" if self.to_aws else ""
        judged = counted(self.judged, "judged flow")
        parts = [f"{proven:,} ({percent(proven, self.judged)}) provably took a private path"]
        if not proven:
            parts = ["none provably took a private path"]
        elif proven == self.judged > 1:
            parts = ["all provably took a private path"]
        if ways["likely"]:
            parts.append(f"{ways['likely']:,} likely did")
        if ways["half"]:
            parts.append(f"{ways['half']:,} did in one direction only")
        if ways["not private"]:
            likely = self.likely_exposed
            of_them = "" if not likely else " (likely)" if likely == ways["not private"] else f" ({likely:,} likely)"
            parts.append(f"{ways['not private']:,} did not{of_them}")
        if ways["unknown"]:
            how = "" if self.has_topology else " (a topology file would tell more)"
            whole = "all" if ways["unknown"] == self.judged and self.judged > 1 else f"{ways['unknown']:,}"
            parts.append(f"the path of {whole} is unknown{how}")
        return f"Of {judged}{whose}, {_listed(parts)}; {_listed(self._outcome())}."

    def _outcome(self) -> list[str]:
        words = {
            "fail": ("fails", "fail"),
            "warn": ("has a warning", "have warnings"),
            "not_observable": ("could not be judged in full", "could not be judged in full"),
            "pass": ("passes", "pass"),
        }
        counts = [(words[name], self.verdicts[name]) for name in VERDICTS if self.verdicts[name] or name == "fail"]
        return [
            f"{count:,} {several if count > 1 else one}" if count else "none fails" for (one, several), count in counts
        ]


def answer(result: Results) -> Answer:
    """The answer of an audit, from the sums in its manifest."""
    manifest = result.manifest
    ways: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    likely_exposed = to_aws = aws_not_judged = 0
    for row in manifest["summary"]:
        if not is_judged(row["verdict"]):
            aws_not_judged += row["flows"] if row["in_scope"] else 0
            continue
        which = way(row["path"], row["confidence"], row["half_private"])
        ways[which] += row["flows"]
        verdicts[row["verdict"]] += row["flows"]
        to_aws += row["flows"] if row["in_scope"] else 0
        likely_exposed += row["flows"] if which == "not private" and row["confidence"] != "confirmed" else 0
    return Answer(
        flows=manifest["counts"]["flows"],
        judged=ways.total(),
        to_aws=to_aws,
        aws_not_judged=aws_not_judged,
        ways=ways,
        likely_exposed=likely_exposed,
        verdicts=verdicts,
        has_topology=manifest["site"] is not None,
        is_about_all=any(_protects_all(rule) for policy in manifest["policies"] for rule in policy["rules"]),
    )


def _protects_all(rule: dict[str, Any]) -> bool:
    """Whether a rule judges how the data of all traffic is protected."""
    check = CHECKS.get(rule.get("check", ""))
    return rule.get("applies_to") == "all" and check is not None and check.of_protection


def percent(part: int, whole: int) -> str:
    """A share that is never rounded to none or all: ``> 99 %`` where something is left."""
    if not whole:
        return "0 %"
    rounded = round(100 * part / whole)
    if rounded == 100 and part < whole:
        return "> 99 %"
    return "< 1 %" if rounded == 0 and part else f"{rounded} %"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
