"""What is asked of a manifest, which may be somebody else's or of another version, by those that read it."""

from typing import Any

from auditor.border.words import by_version
from auditor.data import __version__
from auditor.report import shape
from auditor.tables.value_sets import CONFIDENCES, PATHS, SEVERITIES, VERDICTS

FORMAT = 1  # of results; another one where the same names come to mean something else
RULE: shape.Shape = {
    **dict.fromkeys(("code", "title", "check", "what", "why", "fix", "source"), str),
    "severity": frozenset(SEVERITIES),
    "ways": shape.OptionalMember(shape.EveryMember(str)),
}
SHAPE: shape.Shape = {
    "format": int,
    "versions": {"auditor": str},
    "inputs": [{"name": str, "sha256": shape.TEXT, "bytes": int}],
    "errors": [str],
    "policies": [{"id": str, "title": str, "edition": str, "source": str, "rules": [RULE]}],
    "options": {"apart": shape.TEXT},
    "site": shape.TEXT,
    "notes": [str],
    "counts": dict.fromkeys(("captures", "flows", "handshakes", "findings", "in_scope"), int),
    "summary": [
        {
            "path": frozenset(PATHS),
            "confidence": frozenset(CONFIDENCES),
            "protocol": str,
            "verdict": frozenset(VERDICTS),
            **dict.fromkeys(("in_scope", "half_private"), bool),
            "flows": int,
        }
    ],
    "round_trips": [{"path": str, "flows": int}],
    "ip_ranges": {"date": str},
    "not_observable": shape.EveryMember([{"flows": int, "reason": str}]),
}


def misfit(manifest: Any) -> str | None:
    """What is wrong with a manifest, in words; None where it can be read."""
    form = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(form, int) and form != FORMAT:
        return f"its format is {form}, not {FORMAT}"
    return shape.misfit(manifest, SHAPE)


def advice(manifest: Any) -> str:
    """What to do with results that this version cannot read, and which version wrote them, as far as they say so."""
    versions = manifest.get("versions") if isinstance(manifest, dict) else None
    theirs = versions.get("auditor") if isinstance(versions, dict) else None
    if not isinstance(theirs, str):
        return "audit the captures again"
    return f"audit the captures again (it was written {by_version(theirs, __version__)})"
