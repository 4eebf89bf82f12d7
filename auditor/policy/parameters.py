"""What the parameters of checks have to be: a rule that gives another value is refused when its policy is read."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from auditor.tables.value_sets import PATHS
from auditor.tables.versions import VERSION_ORDER
from auditor.tls.names import groups
from auditor.tls.suites import NAMES, values_of

GREATEST = 1_000_000_000  # of numbers: days in seconds, bits of keys, counts
MOST_TEXTS, LONGEST = 1000, 200
# Letters, groups of alternatives, and up to four times anything: no pattern that takes its time.
PATTERN = re.compile(r"(?:[\w-]|\((?:[\w|-])+\))*(?:\.\*(?:[\w-]|\((?:[\w|-])+\))*){0,4}")

Wrong = str | None
MOST_NAMED = 24  # values that a message lists


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


def _signatures(value: Any) -> Wrong:
    """Patterns of the signatures of certificates, in whose names are spaces, and parentheses with backslashes."""
    given = _texts(value)
    return given or _patterns([re.sub(r"\\[()]|[ .](?!\*)", "", one) for one in value])


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


def _numbers(value: Any) -> Wrong:
    is_list = isinstance(value, list | tuple) and bool(value) and all(_number(one) is None for one in value)
    return None if is_list else "is no list of whole numbers"


def _not_empty(kind: Callable[[Any], Wrong]) -> Callable[[Any], Wrong]:
    """The same for lists that say what is allowed or not: an empty one leaves open whether all is allowed, or nothing."""

    def check(value: Any) -> Wrong:
        lists = [value, *value.values()] if isinstance(value, dict) else [value]
        return kind(value) or (None if all(lists) else "is empty: name something, or leave it out")

    return check


def _day(value: Any) -> Wrong:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return "is no day as 2026-01-31"
    return None


KINDS: dict[str, Callable[[Any], Wrong]] = {
    **dict.fromkeys(("rsa_bits", "dsa_bits", "ec_bits", "dh_bits", "curve_bits", "minimum_bits"), _number),
    **dict.fromkeys(("exponent_from", "exponent_bits", "hash_bits"), _number),
    **dict.fromkeys(("seconds", "count", "clients", "days"), _number),
    **dict.fromkeys(("match", "client_certificates", "offered", "every", "strong"), _truth),
    **dict.fromkeys(("minimum", "to_version"), _version),
    **dict.fromkeys(("curves", "kinds", "leaf_kinds", "services", "goes_on", "allow", "deny"), _texts),
    "rsa_sizes": _numbers,
    "paths": _paths,
    "signatures": _signatures,
    "since": _day,
}
# Where one means something else than elsewhere.
OF_CHECK = {
    **{("cipher-suites", name): _not_empty(_properties) for name in ("allow", "deny")},
    **{("groups", name): _not_empty(_texts) for name in ("allow", "deny")},
    **{
        (check, name): _not_empty(_patterns)
        for check in ("signature-schemes", "offers-signatures")
        for name in ("allow", "deny")
    },
}
NEEDED = {"ended-api": ("services", "since")}
# Checks that hold of everything where none of these is given.
ASKED = {
    "cipher-suites": ("allow", "deny", "minimum_bits"),
    "groups": ("allow", "deny", "dh_bits", "curve_bits"),
    "signature-schemes": ("allow", "deny"),
    "offers-signatures": ("allow", "deny"),
}
# Groups that a ServerKeyExchange gives as numbers, and those that nobody has named.
_UNNAMED_GROUP = re.compile(r"(?:dh|modp)\d{2,5}|0x[0-9a-f]{4}")


def wrong(check: str, given: Mapping[str, Any]) -> Wrong:
    """What is wrong with the parameters that a rule gives to a check, in words; None where nothing is."""
    for name in NEEDED.get(check, ()):
        if name not in given:
            return f"check '{check}' needs the parameter {name}"
    asked = ASKED.get(check)
    if asked is not None and not any(name in given for name in asked):
        return f"check '{check}' asks for nothing: give {', '.join(asked[:-1])} or {asked[-1]}"
    for name, value in given.items():
        fault = OF_CHECK.get((check, name), KINDS[name])(value)
        if fault is not None:
            return f"parameters.{name}: {fault}"
    return None


def wrong_values(check: str, given: Mapping[str, Any]) -> Wrong:
    """Which value of a rule nothing in traffic can have: a ban of what is spelt in another way bans nothing.

    Only what users write is looked at so: it takes as long as loading all suites.
    """
    for name in ("allow", "deny"):
        if check == "cipher-suites":
            for what, values in given.get(name, {}).items():
                unknown = sorted({written(one) for one in values} - values_of(what))
                if unknown:
                    named = sorted(values_of(what) - {"", "?"})
                    some = ", ".join(named) if len(named) <= MOST_NAMED else "those of IANA, as TLS_AES_128_GCM_SHA256"
                    return f"parameters.{name}: no suite has the {what} {unknown[0]}; there are {some}"
        if check == "groups":
            known = {group.lower() for group, _ in groups().values()}
            other = [one for one in given.get(name, ()) if one.lower() not in known]
            odd = next((one for one in other if not _UNNAMED_GROUP.fullmatch(one.lower())), None)
            if odd is not None:
                return f"parameters.{name}: no group is named {odd}; IANA's names are as secp256r1, x25519, ffdhe3072, X25519MLKEM768"
    return None


def written(value: Any) -> str:
    """A property's value as suites have it: true is yes."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
