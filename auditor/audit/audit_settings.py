"""How an audit was done, as it is kept: its options, and what keys and programs it had. No secret is among it."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from auditor.aws.ranges import Ranges
from auditor.border.gate import RefusedError
from auditor.border.text import printable
from auditor.border.urls import public, url_of
from auditor.capture.inputs import stamp_of
from auditor.errors import AuditError
from auditor.options import Options, OptionValues
from auditor.requests.inside import FlowOpener
from auditor.requests.keys import KeyLog, Keys

FILES = ("policy", "topology", "aws", "routes", "witnesses", "keylog", "join_key", "ip_ranges")
# What decides what is read of captures, and so what is kept of them: it is the same for all that is judged anew.
OF_READING = ("keylog", "join_key", "since", "until", "apart", "http", "ip_ranges")
OF_A_RUN = ("out", "force", "fresh", "say", "memory", "jobs", "scheduler")  # which concern nobody later


def values(options: Options, inside: FlowOpener, ranges: Ranges) -> dict[str, Any]:
    """Values that JSON has, for ``options_of`` and ``inside_of``."""
    return {
        "options": _plain(options),
        "folder": str(Path.cwd()) if any(_is_relative(getattr(options, name)) for name in FILES) else "",
        "key_logs": [asdict(log) for log in inside.keys.logs],
        "notes": inside.notes,
        "tshark": inside.tshark,
        "failed": inside.failed,
        "ranges": [ranges.created, ranges.token],
    }


def _is_relative(value: Any) -> bool:
    """Whether an option names files by where they are from the working directory."""
    names = value if isinstance(value, tuple) else () if value is None else (value,)
    return any(Path(name).exists() and not Path(name).is_absolute() for name in names)


def _plain(options: Options) -> dict[str, Any]:
    options_kept: dict[str, Any] = {}
    for name in (one.name for one in fields(Options) if one.name not in OF_A_RUN):
        value = getattr(options, name)
        if isinstance(value, tuple):
            options_kept[name] = [url_of(one) or str(one) for one in value]
        else:
            options_kept[name] = url_of(value) or str(value) if isinstance(value, Path | date) else value
    options_kept["keylog"] = [str(one) for one in options.key_logs()]
    return options_kept


def marks(options: Options) -> dict[str, Any]:
    """What decides what is read and how it is judged: options, and of the files that they name size and stamp."""
    plain = _plain(options)
    of_reading = {name: [plain.pop(name), _stamps(getattr(options, name))] for name in OF_READING}
    return {"reading": of_reading, "judging": [plain, [_stamps(getattr(options, name)) for name in FILES]]}


def _stamps(value: Any) -> list[Any]:
    """Size and stamp of the files that an option names, and of those in the folders that it names."""
    names = value if isinstance(value, tuple) else () if value is None or isinstance(value, bool) else (value,)
    stamps = []
    for path in map(Path, names):
        try:
            inner = sorted(path.rglob("*")) if path.is_dir() else [path]
            found = [(one, one.stat()) for one in inner]
        except OSError:  # no file: the name of a policy
            continue
        stamps.append([[str(one), status.st_size, stamp_of(status)] for one, status in found])
    return stamps


def options_of(kept: Mapping[str, Any], given: OptionValues, *, is_own: bool = True) -> Options:
    """The options of an audit that was kept, with those that are ``given`` in place of them.

    Raises AuditError where one is given that decides what is read, or where results that are not this user's own
    (``is_own``) name a store or web server, which would be asked for it; and RefusedError for what is none.
    """
    if name := next((name for name in OF_READING if name in given), None):
        raise AuditError(
            f"{name}: decides what is read of captures, so nothing can be judged anew by it: audit them again"
        )
    options_kept, folder = kept["options"], Path(kept["folder"])
    if not isinstance(options_kept, dict):
        raise RefusedError("damaged: it does not say how the audit was done")
    wanted: dict[str, Any] = {
        name: value for name, value in options_kept.items() if name not in given and name not in OF_A_RUN
    }
    if isinstance(wanted.get("as_of"), str):
        wanted["as_of"] = date.fromisoformat(wanted["as_of"])
    for name in FILES:
        if isinstance(wanted.get(name), str):
            wanted[name] = _placed(wanted[name], folder)
        elif isinstance(wanted.get(name), list):
            wanted[name] = tuple(_placed(str(one), folder) for one in wanted[name])
    if not is_own:
        _check_places(wanted)
    return replace(Options(**wanted), **given)


def _check_places(wanted: Mapping[str, Any]) -> None:
    for name in FILES:
        value = wanted.get(name)
        for one in value if isinstance(value, tuple) else (value,):
            if (url := url_of(one)) is not None:
                raise AuditError(
                    f"{name}: somebody else's results name {printable(public(url))}, which is not asked for their sake: "
                    f"give {name} itself"
                )


def _placed(name: str, folder: Path) -> str:
    """A file's name as it was given; absolute, where it would now lead elsewhere."""
    there = folder / name
    return str(there) if there.exists() and there.resolve() != Path(name).resolve() else name


def inside_of(kept: Mapping[str, Any], options: Options) -> FlowOpener:
    """What an audit that was kept knew of what is inside TLS, besides secrets."""
    inside = FlowOpener(Keys(logs=[KeyLog(**log) for log in kept["key_logs"]]), options.http)
    inside.notes, inside.tshark, inside.failed = list(kept["notes"]), kept["tshark"], bool(kept["failed"])
    return inside


def check_ranges(kept: Mapping[str, Any], ranges: Ranges) -> None:
    """Raise AuditError where the address ranges are others: by them it was chosen what is read."""
    if kept["ranges"] != [ranges.created, ranges.token]:
        raise AuditError("the address ranges of AWS are others than those of the audit: audit the captures again")
