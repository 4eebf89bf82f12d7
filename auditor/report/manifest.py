"""``audit.json``: how a result was obtained (inputs, hashes, versions, policy, options), and its summary."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from auditor.aws.ranges import Ranges
from auditor.options import Options
from auditor.paths.round_trips import RoundTrips
from auditor.policy.fixes import ways
from auditor.policy.model import Policy, Rule
from auditor.policy.totals import Summary, VerdictTotals
from auditor.reading.captures import Captures
from auditor.report.manifest_shape import FORMAT
from auditor.requests.keys import KeyLog
from auditor.tls.certificates import Certificates


def _page(rule: Rule) -> dict[str, Any]:
    """A rule as it was applied, with its page: results say what they mean even when the policy is gone."""
    page = {one.name: getattr(rule, one.name) for one in fields(rule)} | {"ways": ways(rule.check)}
    return {k: str(v) if isinstance(v, date) else v for k, v in page.items() if v not in (None, {})}


class Applied(NamedTuple):
    """What was applied in an audit, besides its options."""

    policies: Sequence[Policy]
    pages: Mapping[str, Sequence[Rule]]  # the rules of each policy
    site: str | None
    key_logs: Sequence[KeyLog]
    notes: Sequence[str]
    unread: Sequence[str]  # why logs that were given could not be read
    tshark: str | None  # its version, where it was used
    ranges: Ranges


class Sums(Protocol):
    """What an audit adds up to (``audit.totals``), as far as the manifest states it."""

    captures: Captures
    certificates: Certificates
    round_trips: RoundTrips
    verdicts: VerdictTotals
    summary: Summary


def manifest(options: Options, applied: Applied, totals: Sums, findings: int) -> dict[str, Any]:
    """The contents of ``audit.json``. No times of the run: the same input gives the same bytes.

    ``findings``: how many the table of that name has.
    """
    captures = totals.captures.rows()
    rules = [rule.code for policy in applied.policies for rule in policy.rule]
    return {
        "format": FORMAT,
        "versions": package_versions(),
        "inputs": [{"name": one.capture, "sha256": one.sha256, "bytes": one.bytes} for one in captures],
        "errors": [*totals.captures.errors(), *applied.unread],
        "options": options.recorded(),
        "policies": [_policy(policy, applied.pages[policy.id]) for policy in applied.policies],
        "site": applied.site,
        "keys": [{"name": log.name, "sessions": log.sessions, "lines": log.lines} for log in applied.key_logs],
        "notes": list(applied.notes),
        "tshark": applied.tshark,
        "ip_ranges": {"date": applied.ranges.date, "sync_token": applied.ranges.token},
        "counts": {
            "captures": len(captures),
            "flows": sum(one.flows for one in captures),
            "handshakes": sum(one.handshakes for one in captures),
            "findings": findings,
            "in_scope": totals.summary.in_scope,
        },
        "findings_capped": totals.verdicts.findings.capped,
        "certificates_left_out": totals.certificates.left_out,
        "summary": totals.summary.rows(),
        "round_trips": totals.round_trips.rows(),
        "rules": totals.verdicts.of_rules(rules),
        "not_observable": totals.verdicts.unseen(),
    }


def _policy(policy: Policy, rules: Sequence[Rule]) -> dict[str, Any]:
    """A policy as it was applied."""
    return {
        "id": policy.id,
        "title": policy.title,
        "edition": policy.edition,
        "source": policy.source,
        "retrieved": str(policy.retrieved),
        "rules": [_page(rule) for rule in rules],
        "exceptions": [one.words for one in policy.exception],
    }


def package_versions() -> dict[str, str]:
    """Versions that decide a result, for ``audit.json``."""
    from auditor.data import __version__
    from auditor.machine.naming import numba_version

    return {
        "auditor": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "numba": numba_version(),
        "pyarrow": pa.__version__,
    }
