"""What the parameters of checks have to be: a rule that gives another value is refused when its policy is read."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from auditor.tables.closed import PATHS
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.suites import NAMES

GREATEST = 1_000_000_000  # of numbers: days in seconds, bits of keys, counts
MOST_TEXTS, LONGEST = 1000, 200
# Letters, groups of alternatives, and up to four times anything: no pattern that takes its time.
PATTERN = re.compile(r"(?:[\w-]|\((?:[\w|-])+\))*(?:\.\*(?:[\w-]|\((?:[\w|-])+\))*){0,4}")

Wrong = str | None


def _number(value: Any) -> Wrong:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and 0 <= value <= GREATEST:
        return None
    return f"is no number from 0 to {GREATEST:,}"


def _truth(value: Any) -> Wrong:
    return None if isinstance(value, bool) else "is neither true nor false"


def _version(value: Any) -> Wrong:
    if isinstance(value, str) and value in VERSION_ORDER:
        return None
    return "is no version of TLS; there are " + ", ".join(name for name in VERSION_ORDER if "draft" not in name)


def _texts(value: Any) -> Wrong:
    if not isinstance(value, list | tuple) or len(value) > MOST_TEXTS:
        return "is no list of texts"
    return None if all(isinstance(one, str) and 0 < len(one) <= LONGEST for one in value) else "is no list of texts"


def _paths(value: Any) -> Wrong:
    return _texts(value) or (None if set(value) <= set(PATHS) else f"has a path that is none of {', '.join(PATHS)}")


def _patterns(value: Any) -> Wrong:
    wrong = next((one for one in value if not PATTERN.fullmatch(one)), None) if _texts(value) is None else None
    what = "may have letters, digits, _ and -, groups of alternatives as (a|b), and up to four times .*"
    return _texts(value) or (None if wrong is None else f"has the pattern '{wrong}': it {what}")


def _properties(value: Any) -> Wrong:
    """A table of properties of suites, with the values that each may have."""
    if not isinstance(value, dict):
        return "is no table of properties and lists of their values"
    unknown = sorted(set(value) - set(NAMES))
    if unknown:
        return f"suites have no property {', '.join(unknown)}; they have {', '.join(NAMES)}"
    wrong = next((name for name, values in value.items() if _values(values) is not None), None)
    return None if wrong is None else f"{wrong} is no list of values"


def _values(value: Any) -> Wrong:
    is_list = isinstance(value, list | tuple) and all(isinstance(one, str | int | bool) for one in value)
    return None if is_list else "is no list of values"


def _day(value: Any) -> Wrong:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return "is no day as 2026-01-31"
    return None


KINDS: dict[str, Callable[[Any], Wrong]] = {
    **dict.fromkeys(("rsa_bits", "dsa_bits", "ec_bits", "dh_bits", "curve_bits", "minimum_bits"), _number),
    **dict.fromkeys(("seconds", "count", "clients"), _number),
    **dict.fromkeys(("match", "client_certificates", "offered", "every"), _truth),
    **dict.fromkeys(("minimum", "to_version"), _version),
    **dict.fromkeys(("curves", "kinds", "leaf_kinds", "signatures", "services", "goes_on", "allow", "deny"), _texts),
    "paths": _paths,
    "since": _day,
}
# Where one means something else than elsewhere.
OF_CHECK = {
    ("cipher-suites", "allow"): _properties,
    ("cipher-suites", "deny"): _properties,
    ("signature-schemes", "allow"): _patterns,
    ("signature-schemes", "deny"): _patterns,
}
NEEDED = {"ended-api": ("services", "since")}


def wrong(check: str, given: Mapping[str, Any]) -> Wrong:
    """What is wrong with the parameters that a rule gives to a check, in words; None where nothing is."""
    for name in NEEDED.get(check, ()):
        if name not in given:
            return f"check '{check}' needs the parameter {name}"
    for name, value in given.items():
        fault = OF_CHECK.get((check, name), KINDS[name])(value)
        if fault is not None:
            return f"parameters.{name}: {fault}"
    return None
