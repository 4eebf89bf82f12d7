"""AWS Security Finding Format: what Security Hub's BatchImportFindings takes, a hundred findings at a time.

The account is the environment's AUDITOR_AWS_ACCOUNT, or twelve zeros to be replaced.
"""

import json
import os
import re
from typing import Any, BinaryIO

from auditor.border.text import printable
from auditor.errors import AuditError
from auditor.report import overview
from auditor.report.plain import about, finding_uid, iso
from auditor.report.proof import evidence_of
from auditor.report.results import Results
from auditor.report.silence import Unjudged, unjudged

MOST_CAPTURES = 15  # ASFF takes 50 product fields
REGION = "us-east-1"  # where none is known
SCHEMA = "2018-10-08"
LABELS = {"info": "INFORMATIONAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "critical": "CRITICAL"}
STATUSES = {"fail": "FAILED", "warn": "WARNING"}
KIND = "Software and Configuration Checks/AWS Security Best Practices/Network Reachability"


def finding(row: dict[str, Any], account: str, region: str, sums: dict[str, str]) -> dict[str, Any]:
    """A finding as Security Hub has them."""
    capture, partition = row["capture"] or "", _partition(region)
    return {
        "Id": f"auditor/{row['rule']}/{finding_uid(row, sums)}",
        "GeneratorId": f"auditor/{row['policy'] or 'exceptions'}/{row['rule']}",
        **_frame(account, region, row["first_seen"], row["last_seen"]),
        "Severity": {"Label": LABELS[row["severity"]]},
        "Title": printable(f"{row['rule']}: {row['title']}")[:256],
        "Description": printable(f"{about(row)}: {row['reason']}")[:1024],
        "ProductFields": {
            "auditor/capture": printable(capture)[:2048],
            "auditor/sha256": sums.get(capture, "unknown"),
            "auditor/frames": row["sample_frames"] or "none",
            **_more_captures(row, sums),
            "auditor/flows": str(row["flows"]),
        },
        "Resources": [
            {"Type": "Other", "Id": printable(row["service"])[:512], "Partition": partition, "Region": region}
        ],
        "Compliance": {"Status": STATUSES[row["verdict"]]},
    }


def not_judged(one: Unjudged, account: str, times: tuple[int, int]) -> dict[str, Any]:
    """What a rule, or all of them, left open: a check that could not be performed, which Security Hub takes for no pass."""
    return {
        "Id": f"auditor/{one.rule or 'all'}/{one.uid}",
        "GeneratorId": f"auditor/{one.policy or 'all'}/{one.rule or 'all'}",
        **_frame(account, REGION, *times),
        "Severity": {"Label": LABELS["info"]},
        "Title": printable(": ".join(filter(None, (one.rule, f"not judged: {one.title}"))))[:256],
        "Description": printable(one.reason)[:1024],
        "ProductFields": {"auditor/verdict": one.verdict, "auditor/flows": str(one.flows)},
        "Resources": [{"Type": "Other", "Id": "traffic", "Partition": _partition(REGION), "Region": REGION}],
        "Compliance": {"Status": "NOT_AVAILABLE"},
    }


def _partition(region: str) -> str:
    return "aws-us-gov" if region.startswith("us-gov-") else "aws-cn" if region.startswith("cn-") else "aws"


def _frame(account: str, region: str, first: int | None, last: int | None) -> dict[str, Any]:
    """What all findings have: whose they are, and times in nanoseconds since 1970."""
    begin, end = ((iso(time or 0) or "").partition(".")[0] + "Z" for time in (first, last))
    return {
        "SchemaVersion": SCHEMA,
        "ProductArn": f"arn:{_partition(region)}:securityhub:{region}:{account}:product/{account}/default",
        "AwsAccountId": account,
        "Types": [KIND],
        "FirstObservedAt": begin,
        "LastObservedAt": end,
        "CreatedAt": begin,
        "UpdatedAt": end,
        "RecordState": "ACTIVE",
    }


def _more_captures(row: dict[str, Any], sums: dict[str, str]) -> dict[str, str]:
    """The evidence of captures behind the first, numbered from 2 on."""
    fields = {}
    for number, part in enumerate(evidence_of(row)[1:MOST_CAPTURES], 2):
        fields[f"auditor/capture/{number}"] = printable(part["capture"])[:2048]
        fields[f"auditor/sha256/{number}"] = sums.get(part["capture"], "unknown")
        fields[f"auditor/frames/{number}"] = " ".join(map(str, part["frames"]))[:2048] or "none"
    return fields


def write(result: Results, out: BinaryIO) -> None:
    """All findings as a JSON list, and what was not judged."""
    account = os.environ.get("AUDITOR_AWS_ACCOUNT", "0" * 12)
    if not re.fullmatch(r"\d{12}", account):
        raise AuditError("AUDITOR_AWS_ACCOUNT: not the twelve digits of an AWS account")
    sums = {row["capture"]: row["sha256"] for row in result.rows("captures", "capture", "sha256")}
    findings = []
    for row in result.records("findings", times="ns"):
        region = row["region"] or REGION
        findings.append(finding(row, account, region if "-" in region else REGION, sums))
    times = overview.span(result) or (0, 0)
    findings += [not_judged(one, account, times) for one in unjudged(result)]
    out.write(json.dumps(findings, indent=1, ensure_ascii=True).encode() + b"\n")
