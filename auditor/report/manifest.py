"""``audit.json``: how a result came about (inputs, hashes, versions, policy, options) and what it says in sum."""

import sys
from collections import Counter
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.audit.run import Run
from auditor.options import Options
from auditor.policy.mending import ways
from auditor.policy.model import Rule


def _page(rule: Rule) -> dict[str, Any]:
    """A rule as it was applied, with its page: results say what they mean when the policy is not there any more."""
    told = asdict(rule) | {"ways": ways(rule.check)}
    return {k: str(v) if isinstance(v, date) else v for k, v in told.items() if v not in (None, {})}


def manifest(run: Run, options: Options) -> dict[str, Any]:
    """The contents of ``audit.json``. No times of the run: the same input gives the same bytes."""
    evaluation, inside, ranges = run.pipeline.evaluation, run.pipeline.inside, run.pipeline.ranges
    summary = [
        {
            "path": path,
            "confidence": confidence,
            "protocol": protocol,
            "verdict": verdict,
            "in_scope": scope,
            "flows": n,
        }
        for (path, confidence, protocol, verdict, scope), n in sorted(run.pipeline.summary.items())
    ]
    unseen: dict[str, Counter[str]] = {}
    for (rule, reason), n in evaluation.not_observable.items():
        unseen.setdefault(rule, Counter())[reason] += n
    return {
        "format": 1,
        "versions": package_versions(),
        "inputs": [
            {"name": item.name, "sha256": item.sha256(), "bytes": counted.bytes} for item, counted in run.captures
        ],
        "errors": run.errors,
        "options": options.told(),
        "policies": [
            {
                "id": policy.id,
                "title": policy.title,
                "edition": policy.edition,
                "source": policy.source,
                "retrieved": str(policy.retrieved),
                "rules": [_page(rule) for rule in evaluation.pages[policy.id]],
                "exceptions": [one.words for one in policy.exception],
            }
            for policy in evaluation.policies
        ],
        "site": run.pipeline.judge.network.topology.name,
        "keys": [{"name": log.name, "sessions": log.sessions, "lines": log.lines} for log in inside.keys.logs],
        "notes": run.notes(),
        "tshark": inside.tshark,
        "ip_ranges": {"date": ranges.date, "sync_token": ranges.token},
        "counts": {
            "captures": len(run.captures),
            "flows": sum(counted.flows for _, counted in run.captures),
            "handshakes": sum(counted.handshakes for _, counted in run.captures),
            "findings": evaluation.findings.count,
            "in_scope": sum(n for key, n in run.pipeline.summary.items() if key[4]),
        },
        "findings_capped": evaluation.findings.capped,
        "certificates_left_out": run.pipeline.shapes.certificates.left_out,
        "summary": summary,
        "round_trips": run.pipeline.round_trip_table(),
        "rules": {
            rule.code: {
                verdict: evaluation.counts[rule.code, verdict]
                for verdict in ("pass", "fail", "warn", "not_observable", "not_applicable")
                if evaluation.counts[rule.code, verdict]
            }
            for rule in evaluation.rules
        },
        "not_observable": {
            rule: [{"reason": reason, "flows": n} for reason, n in sorted(found.items(), key=lambda x: (-x[1], x[0]))][
                :10
            ]
            for rule, found in sorted(unseen.items())
        },
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
