"""How to audit: what ``auditor.audit`` is told, in one piece."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from auditor.errors import InputError, shown

PathLike = str | Path
DEFAULT_POLICY = "aws-pinpoint"
KEYLOG_VARIABLE = "SSLKEYLOGFILE"


def _several(given: PathLike | Iterable[PathLike]) -> list[PathLike]:
    return [given] if isinstance(given, str | Path) else list(given)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of ``auditor.audit``, whose description tells what they mean."""

    policy: PathLike | Iterable[PathLike] = DEFAULT_POLICY
    as_of: date | None = None
    topology: PathLike | None = None
    aws: PathLike | None = None
    routes: Iterable[PathLike] = ()
    witnesses: Iterable[PathLike] = ()
    skew: float = 0.0
    keylog: PathLike | Iterable[PathLike] = ()
    http: bool = False
    ip_ranges: PathLike | None = None
    out: PathLike | None = None
    block_bytes: int | None = None
    say: Callable[[str], None] | None = None
    meanwhile: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        for name in ("policy", "routes", "witnesses", "keylog"):  # iterables may be read only once
            object.__setattr__(self, name, _several(getattr(self, name)))

    @property
    def policies(self) -> list[PathLike]:
        return _several(self.policy) or [DEFAULT_POLICY]

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

    def told(self) -> dict[str, str | None]:
        """What decides a result, for ``audit.json``."""
        several = {
            "policy": self.policies,
            "routes": self.routes,
            "witnesses": self.witnesses,
            "keylog": self.key_logs(),
        }
        one: dict[str, object] = {"topology": self.topology, "aws": self.aws, "ip_ranges": self.ip_ranges}
        one |= {"skew": self.skew or None, "as_of": self.as_of, "http": self.http or None}
        return {
            **{name: None if value is None else shown(str(value)) for name, value in one.items()},
            **{name: " ".join(shown(str(file)) for file in files) or None for name, files in several.items()},
        }
