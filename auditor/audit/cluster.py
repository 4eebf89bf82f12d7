"""Choosing a cluster for audits: the client of Dask whose workers do what is begun here."""

from collections.abc import Iterable
from contextvars import Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, Unpack

from auditor.audit.chosen import CURRENT
from auditor.audit.start import audit
from auditor.options import Options, OptionValues, PathLike, takes_options

if TYPE_CHECKING:
    from auditor.report.audit import Audit


@dataclass(eq=False, repr=False)
class Cluster:
    """Audits by the workers of a Dask client: ``cluster(client).audit(...)``, or any audit in a ``with`` block of it."""

    client: Any
    _tokens: list[Token[Any]] = field(default_factory=list, repr=False)

    @takes_options
    def audit(
        self, paths: PathLike | Iterable[PathLike], options: Options | None = None, **values: Unpack[OptionValues]
    ) -> "Audit":
        """Audit captures that all workers see. ``out`` has to be a folder that they see too."""
        with self:
            return audit(paths, options, **values)

    def __enter__(self) -> Self:
        self._tokens.append(CURRENT.set(self.client))
        return self

    def __exit__(self, *_: object) -> None:
        CURRENT.reset(self._tokens.pop())


def cluster(client: Any) -> Cluster:
    """Audit by the workers of a Dask ``client`` (``distributed.Client``), from a notebook or a program.

    >>> with auditor.cluster(client):  # doctest: +SKIP
    ...     result = auditor.audit("/shared/captures", out="/shared/results")
    """
    return Cluster(client)
