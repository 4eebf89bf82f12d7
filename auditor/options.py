"""How to audit: the one declaration of an audit's options, for Python and for the command line."""

import inspect
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, ParamSpec, TypedDict, TypeVar

from auditor.border.urls import public, url_of
from auditor.errors import InputError, shown

PathLike = str | Path
Moment = str | date  # a datetime is a date too
P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_POLICY = "aws-pinpoint"
KEYLOG_VARIABLE = "SSLKEYLOGFILE"
SIZE = re.compile(r"(\d{1,15})([KMGT]?)(?:i?B)?", re.IGNORECASE)
# ISO 8601 as people write it; fractions of a second go down to nanoseconds.
TIME = re.compile(
    r"(?P<whole>\d{4}-?\d\d-?\d\d(?:[T ]\d\d:?\d\d(?::?\d\d)?)?)(?:[.,](?P<fraction>\d{1,9}))?\s*(?P<offset>Z|[+-]\d\d(?::?\d\d)?)?",
    re.IGNORECASE,
)
UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
MOST_JOBS = 256
MOST_SKEW = 10 * 366 * 86_400  # seconds; clocks that are further off are no clocks
AGAIN = "{again}"  # in a meaning: where it is said that several may be given


def _named(value: object) -> str:
    """An option's value as it may be shown: of URLs without what is secret."""
    url = url_of(value)
    return shown(str(value)) if url is None else public(url)


def _nanoseconds(option: str, given: Moment | None) -> int | None:
    """A time in nanoseconds since 1970; a day is its beginning. Raises InputError for what is none."""
    if given is None:
        return None
    text = given.isoformat() if isinstance(given, date) else str(given).strip()
    parts = TIME.fullmatch(text)
    try:
        if parts is None:
            raise ValueError
        when = datetime.fromisoformat(f"{parts['whole']}{parts['offset'] or ''}")
    except ValueError as error:
        form = "give it as 2026-03-01 or 2026-03-01T09:30:00, UTC or with an offset as +02:00"
        raise InputError(f"{option} {shown(text)}: not a time; {form}") from error
    seconds = (when if when.tzinfo is not None else when.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    fraction = int((parts["fraction"] or "0").ljust(9, "0"))
    return (seconds.days * 86_400 + seconds.seconds) * 1_000_000_000 + fraction


def _day(given: Moment | None) -> date | None:
    """A day as such. Raises InputError for what is none."""
    if given is None or isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return date.fromisoformat(str(given).strip())
    except ValueError as error:
        raise InputError(f"--as-of {shown(str(given))}: not a day; give it as 2026-11-27") from error


def _is_number(given: object, kind: type[int] | type[float]) -> bool:
    """Whether an option of Python's is a number, also one of numpy's, and no truth."""
    return isinstance(given, Integral if kind is int else Real) and not isinstance(given, bool)


def _several(given: PathLike | Iterable[PathLike]) -> tuple[PathLike, ...]:
    return (given,) if isinstance(given, str | Path) else tuple(given)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of an audit, each with what it means: the same for ``audit``, ``audit_live`` and the command line."""

    policy: Annotated[
        PathLike | Iterable[PathLike], "Name of a shipped policy (aws-pinpoint without it), or a policy file{again}."
    ] = DEFAULT_POLICY
    as_of: Annotated[
        Moment | None, "Judge rules that hold for a time as of this day; each flow's own day without it."
    ] = None
    all_traffic: Annotated[
        bool, "Judge TLS and plaintext of all traffic by the policy's rules, not only of that to AWS."
    ] = False
    topology: Annotated[PathLike | None, "Site file; see: audit topology init."] = None
    aws: Annotated[PathLike | None, "Folder of the AWS command line's JSON; see: audit topology fetch."] = None
    routes: Annotated[Iterable[PathLike], "Routing table: MRT, ip route, show ip bgp, show ip route, FRR's JSON."] = ()
    witnesses: Annotated[Iterable[PathLike], "Flow logs, CloudTrail, Zeek or Suricata logs: a file or folder."] = ()
    skew: Annotated[float, "Seconds by which the witnesses' clocks are ahead."] = 0.0
    keylog: Annotated[
        PathLike | Iterable[PathLike],
        "Key log of a client, or RSA key of a server{again}. SSLKEYLOGFILE: that variable's file.",
    ] = ()
    join_key: Annotated[
        PathLike | None,
        "Secret file by which access keys have one credential_hash in all audits with it; random without.",
    ] = None
    since: Annotated[
        Moment | None,
        "Only packets from then on: 2026-03-01, 2026-03-01T09:30 or with seconds; UTC without an offset as +02:00.",
    ] = None
    until: Annotated[Moment | None, "Only packets before then; files that hold none of the time are not read."] = None
    apart: Annotated[
        bool, "Audit each capture by itself; without it they are one, however its packets lie in files."
    ] = False
    http: Annotated[bool, "Read requests in clear of flows that are not to AWS too."] = False
    ip_ranges: Annotated[PathLike | None, "A newer ip-ranges.json than the one shipped."] = None
    memory: Annotated[
        str | int | None,
        "Most memory to take, as 2G, and not less than 448M (bytes without a letter); half of what is free without it.",
    ] = None
    jobs: Annotated[
        int | None,
        "Processes that share the work on flows; one for each two processors without it, where there is enough to read.",
    ] = None
    scheduler: Annotated[
        str | None,
        "Dask scheduler whose workers do the work, as tcp://HOST:8786; all have to see captures and --out (extra cluster).",
    ] = None
    out: Annotated[PathLike | None, "Folder for the results: Parquet files and audit.json."] = None
    force: Annotated[bool, "Replace results in that folder that are not as an audit left them."] = False
    fresh: Annotated[
        bool, "Read all captures, also those that an audit into that folder has read before, or has begun with."
    ] = False
    say: Annotated[Callable[[str], None] | None, "Called with a sentence on what takes long, or was left out."] = None

    def __post_init__(self) -> None:
        for name in ("policy", "routes", "witnesses", "keylog"):  # iterables may be read only once
            object.__setattr__(self, name, _several(getattr(self, name)))
        self.memory_bytes()
        since, until = self.times()
        if since is not None and until is not None and since >= until:
            raise InputError(f"--until {shown(str(self.until))}: is not later than --since {shown(str(self.since))}")

        object.__setattr__(self, "as_of", _day(self.as_of))
        if self.jobs is not None and not (_is_number(self.jobs, int) and 1 <= self.jobs <= MOST_JOBS):
            raise InputError(f"--jobs {shown(str(self.jobs))}: give a number from 1 to {MOST_JOBS}")
        if not (_is_number(self.skew, float) and abs(self.skew) <= MOST_SKEW):  # NaN too
            skew = f"{self.skew:g}" if _is_number(self.skew, float) else shown(str(self.skew))
            raise InputError(f"--skew {skew}: give the seconds by which the witnesses' clocks are ahead")

    def times(self) -> tuple[int | None, int | None]:
        """From when to before when packets are audited, in nanoseconds since 1970. Raises InputError for what is no time."""
        return _nanoseconds("--since", self.since), _nanoseconds("--until", self.until)

    @property
    def day(self) -> date | None:
        """The day as of which rules are judged."""
        return _day(self.as_of)

    @property
    def policies(self) -> tuple[PathLike, ...]:
        return _several(self.policy) or (DEFAULT_POLICY,)

    def key_logs(self) -> list[PathLike]:
        """Key logs by name; SSLKEYLOGFILE stands for the file that this environment variable names."""
        logs: list[PathLike] = []
        for file in _several(self.keylog):
            if str(file) == KEYLOG_VARIABLE and not Path(file).exists():
                if not os.environ.get(KEYLOG_VARIABLE):
                    raise InputError(f"--keylog {KEYLOG_VARIABLE}: no environment variable of that name is set")
                logs.append(os.environ[KEYLOG_VARIABLE])
            else:
                logs.append(file)
        return logs

    def memory_bytes(self) -> int | None:
        """The most memory to take, in bytes. Raises InputError for what is no size."""
        if self.memory is None:
            return None
        size = SIZE.fullmatch(str(self.memory).strip())
        if size is None:
            raise InputError(f"--memory {shown(str(self.memory))}: not a size; give one as 2G, 800M or in bytes")
        return int(size[1]) << UNITS[size[2].upper()]

    def files(self) -> list[Path]:
        """What is read besides captures: files and folders, and names that may be files."""
        several = (*self.policies, *self.routes, *self.witnesses, *self.key_logs())
        one = (self.topology, self.aws, self.ip_ranges, self.join_key)
        return [Path(name) for name in (*several, *one) if name is not None]

    def elsewhere(self) -> "Options":
        """The same for another process, whose working directory is another one."""

        def absolute(name: PathLike) -> PathLike:
            return Path(name).absolute() if Path(name).exists() else name

        def one(name: PathLike | None) -> PathLike | None:
            return None if name is None else absolute(name)

        return replace(
            self,
            policy=tuple(map(absolute, self.policies)),
            routes=tuple(map(absolute, self.routes)),
            witnesses=tuple(map(absolute, self.witnesses)),
            keylog=tuple(map(absolute, self.key_logs())),
            topology=one(self.topology),
            aws=one(self.aws),
            ip_ranges=one(self.ip_ranges),
            join_key=one(self.join_key),
            out=one(self.out),
            scheduler=None,
            say=None,
        )

    def recorded(self) -> dict[str, str | None]:
        """What decides a result, for ``audit.json``."""
        several: dict[str, Iterable[PathLike]] = {
            "policy": self.policies,
            "routes": self.routes,
            "witnesses": self.witnesses,
            "keylog": self.key_logs(),
        }
        one: dict[str, object] = {"topology": self.topology, "aws": self.aws, "ip_ranges": self.ip_ranges}
        one |= {
            "all_traffic": self.all_traffic or None,
            "skew": self.skew or None,
            "as_of": self.as_of,
            "since": self.since,
            "until": self.until,
            "apart": self.apart or None,
            "http": self.http or None,
        }
        one |= {"memory": self.memory, "join_key": self.join_key}
        return {
            **{name: None if value is None else _named(value) for name, value in one.items()},
            **{name: " ".join(map(_named, files)) or None for name, files in several.items()},
        }


class OptionValues(TypedDict, total=False):
    """The fields of ``Options`` as keyword arguments: what an editor completes and mypy checks."""

    policy: PathLike | Iterable[PathLike]
    as_of: Moment | None
    all_traffic: bool
    topology: PathLike | None
    aws: PathLike | None
    routes: Iterable[PathLike]
    witnesses: Iterable[PathLike]
    skew: float
    keylog: PathLike | Iterable[PathLike]
    join_key: PathLike | None
    since: Moment | None
    until: Moment | None
    apart: bool
    http: bool
    ip_ranges: PathLike | None
    memory: str | int | None
    jobs: int | None
    scheduler: str | None
    out: PathLike | None
    force: bool
    fresh: bool
    say: Callable[[str], None] | None


def merged(options: Options | None, values: OptionValues) -> Options:
    """``options``, with ``values`` in place of theirs."""
    return Options(**values) if options is None else replace(options, **values)


def meaning(name: str, again: str = ", or several") -> str:
    """What an option means, in a sentence; ``again`` says that several may be given."""
    text: str = Options.__annotations__[name].__metadata__[0]
    return text.replace(AGAIN, again)


def takes_options(function: Callable[P, R]) -> Callable[P, R]:
    """Show the options among the parameters of a function that has ``**values: Unpack[OptionValues]``, for ``help``."""
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    options = [
        one.replace(annotation=one.annotation.__origin__) for one in inspect.signature(Options).parameters.values()
    ]
    described = "\n".join(f"    {one.name}: {meaning(one.name)}" for one in options)
    function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nOptions:\n{described}\n"
    return function
