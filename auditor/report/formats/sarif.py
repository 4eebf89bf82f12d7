"""SARIF 2.1.0 (OASIS): rules are the policies' rules, locations are captures with flows and frames."""

import json
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from auditor.border.words import counted
from auditor.report import overview
from auditor.report.answer import answer
from auditor.report.plain import about
from auditor.report.proof import evidence_of, frames_text
from auditor.report.results import Results
from auditor.report.silence import unjudged

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"info": "note", "low": "note", "medium": "warning", "high": "error", "critical": "error"}
SCORES = {"info": "1.0", "low": "3.0", "medium": "5.5", "high": "8.0", "critical": "9.5"}


def _rule(rule: dict[str, Any], policy: str) -> dict[str, Any]:
    fix = "\n".join([rule["fix"], *(f"{place}: {way}" for place, way in rule.get("ways", {}).items())])
    return {
        "id": rule["code"],
        "name": "".join(word.capitalize() for word in rule["check"].split("-")),
        "shortDescription": {"text": rule["title"]},
        "fullDescription": {"text": rule["what"]},
        "help": {"text": f"{rule['why']}\n\nHow to fix: {fix}\n\nSource: {rule['source']}"},
        "defaultConfiguration": {"level": LEVELS[rule["severity"]]},
        "properties": {"policy": policy, "security-severity": SCORES[rule["severity"]]},
    }


def _invocation(result: Results) -> dict[str, Any]:
    """How the audit went: its answer, what was not judged and why, and what could not be read; no results are no approval."""
    not_judged = [f"{words}: {listed}" for words, listed in overview.not_judged_words(result)]
    notes = [("note", text) for text in (answer(result).sentence, *not_judged)]
    notes += [("error", text) for text in result.errors]
    told: list[dict[str, Any]] = [{"level": level, "message": {"text": text}} for level, text in notes]
    for one in unjudged(result):
        if one.rule is not None:
            text = f"{one.rule} could not judge {counted(one.flows, 'flow')}: {one.reason}"
            told.append({"level": "note", "associatedRule": {"id": one.rule}, "message": {"text": text}})
    return {"executionSuccessful": not result.errors, "toolExecutionNotifications": told}


def write(result: Results, out: BinaryIO) -> None:
    """One run with all findings."""
    rules = [_rule(rule, policy["id"]) for policy in result.manifest["policies"] for rule in policy["rules"]]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    sums = {row["capture"]: row["sha256"] for row in result.rows("captures", "capture", "sha256")}
    results = []
    for row in result.records("findings", times="ns"):
        logical: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": about(row), "kind": "resource"}]}
        captures = [part["capture"] for part in evidence_of(row)] or [row["capture"]]
        locations = [
            logical | {"physicalLocation": {"artifactLocation": {"uri": quote(Path(name).as_posix())}}}
            for name in captures
            if name
        ]
        results.append(
            {
                "ruleId": row["rule"],
                "ruleIndex": index.get(row["rule"], -1),
                "level": LEVELS[row["severity"]] if row["verdict"] == "fail" else "note",
                "message": {
                    "text": f"{about(row)}: {row['reason']} ({counted(row['flows'], 'flow')}, frames {frames_text(row)})"
                },
                "locations": locations or [logical],
                "partialFingerprints": {"ruleClientsService/v1": f"{row['rule']}/{about(row)}"},
                "properties": {"flows": row["flows"], "clients": row["clients"], "sampleFlows": row["sample_flows"]},
            }
        )
    artifacts = [
        {"location": {"uri": quote(Path(name).as_posix())}, "hashes": {"sha-256": digest}}
        for name, digest in sums.items()
        if digest
    ]
    driver = {"name": "auditor", "version": result.manifest["versions"]["auditor"], "rules": rules}
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(result)],
        "artifacts": artifacts,
        "results": results,
        "columnKind": "utf16CodeUnits",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    out.write(json.dumps(log, indent=1, ensure_ascii=True).encode() + b"\n")
