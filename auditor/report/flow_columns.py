"""The columns of ``flows`` that charts and the page count by, each as texts of which many are equal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.border.text import printable
from auditor.policy.findings import client_group
from auditor.report.answer import is_judged, way
from auditor.report.overview import TLS_UNKNOWN, UNNAMED, path_words, protocol_words
from auditor.report.plain import coded, numbered
from auditor.report.results import Results
from auditor.tables.columns import Texts, distinct

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]
TLS = ("tls", "dtls", "quic")


@dataclass(frozen=True)
class FlowColumns:
    """All flows of an audit, column by column, in the order of their first packets; none is read before it is asked for."""

    result: Results

    @classmethod
    def of(cls, result: Results) -> "FlowColumns":
        """The flows of an audit."""
        return cls(result)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return self.result.count("flows")

    def _filled(self, name: str, dtype: Any, of_part: "Callable[[pa.Array], Array]") -> Array:
        """A value for each flow, part by part."""
        column, at = np.zeros(len(self), dtype), 0
        for part in self.result.parts("flows", name):
            for chunk in part.column(name).chunks:
                column[at : at + len(chunk)] = of_part(chunk)
                at += len(chunk)
        return column

    def texts(self, name: str) -> Texts:
        """A column of texts, as far as they can be shown."""
        known: dict[str | None, int] = {}

        def codes_of(chunk: "pa.Array") -> Array:
            codes, texts = coded(chunk if hasattr(chunk, "indices") else chunk.dictionary_encode())
            used = np.flatnonzero(np.bincount(codes + 1, minlength=len(texts) + 1)) - 1
            numbers = np.zeros(len(texts) + 1, np.int32)
            for code in used.tolist():
                text = texts[code] if code >= 0 else None
                numbers[code] = known.setdefault(None if text is None else printable(text), len(known))
            chosen: Array = numbers[codes]
            return chosen

        index = self._filled(name, np.int32, codes_of)
        return Texts(list(known), index)

    def numbers(self, name: str, missing: float = 0) -> Array:
        """A column of numbers, of times in nanoseconds since 1970."""
        return self._filled(name, type(missing), lambda chunk: numbered(chunk, missing))

    @cached_property
    def verdict(self) -> Texts:
        """The worst verdict of each flow."""
        return self.texts("verdict")

    @cached_property
    def is_judged(self) -> Array:
        """Whether a rule judged the flow, whatever its server is."""
        return selected(self.verdict, is_judged)

    @cached_property
    def path(self) -> Texts:
        """The path of each flow."""
        return self.texts("path")

    @cached_property
    def half(self) -> Texts:
        """A text where only one direction was private: the other one went over the internet."""

        def worded(odd: str | None, *ways: str | None) -> str | None:
            return "half" if odd is not None and "internet" in ways else None

        return joined([self._flags("path_asymmetric"), self.texts("path_out"), self.texts("path_back")], worded)

    @cached_property
    def way(self) -> Texts:
        """The path of each flow with how well it is proven: ``internet (confirmed)``."""

        def worded(path: str, confidence: str, half: str | None) -> str:
            return path_words(path, confidence, half_private=half is not None)

        return joined([self.path, self.texts("path_confidence"), self.half], worded)

    @cached_property
    def client(self) -> Texts:
        """The client's address."""
        return self.texts("client_ip")

    @cached_property
    def network(self) -> Texts:
        """The client's network: /24 of IPv4, /64 of IPv6."""
        return mapped(self.client, client_group)

    @cached_property
    def server(self) -> Texts:
        """The server's name, or its address."""
        return joined([self.texts("server_name"), self.texts("server_ip")], lambda name, address: name or address)

    @cached_property
    def party(self) -> Texts:
        """What a flow talks to: the AWS service whose endpoint it is, else the server."""

        def name(is_endpoint: str | None, service: str | None, server: str | None) -> str | None:
            return service if is_endpoint and service else server

        return joined([self._flags("aws_endpoint"), self.texts("service"), self.server], name)

    @cached_property
    def region(self) -> Texts:
        """The Region of the AWS service whose endpoint it is."""
        return joined(
            [self._flags("aws_endpoint"), self.texts("region")], lambda is_one, name: name if is_one else None
        )

    @cached_property
    def service(self) -> Texts:
        """What a flow is counted with: the AWS service and Region, else the server."""
        return joined([self.party, self.region], lambda party, region: f"{party} {region or ''}".rstrip())

    @cached_property
    def privacy(self) -> Texts:
        """What can be said of the way of a flow that was judged: one of ``report.answer.WAYS``."""

        def worded(verdict: str, path: str, confidence: str, half: str | None) -> str | None:
            return way(path, confidence, half is not None) if is_judged(verdict) else None

        return joined([self.verdict, self.path, self.texts("path_confidence"), self.half], worded)

    def _flags(self, name: str) -> Texts:
        """A column of booleans as texts, so that it can be combined with others: True is a text, False is none."""
        return Texts([None, name], self._filled(name, np.int8, lambda chunk: numbered(chunk, 0)))

    @cached_property
    def spoken(self) -> Texts:
        """The TLS version, else the protocol, in the words of all reports."""

        def name(version: str | None, protocol: str | None) -> str:
            return protocol_words(version or (TLS_UNKNOWN if protocol in TLS else protocol or UNNAMED))

        return joined([self.texts("tls_version"), self.texts("protocol")], name)

    @cached_property
    def bytes(self) -> Array:
        """Bytes of both directions."""
        return self.numbers("client_bytes") + self.numbers("server_bytes")


def selected(column: Texts, is_wanted: Any) -> Array:
    """Which rows have a text that is wanted."""
    return np.array([bool(is_wanted(value)) for value in [*column.values, None]], bool)[column.index]


def mapped(column: Texts, function: Any) -> Texts:
    """Another text for each."""
    return again([None if value is None else function(value) for value in column.values], column.index)


def joined(columns: Sequence[Texts], function: Any) -> Texts:
    """One text of several: the function sees each combination once."""
    if not len(columns[0]):
        return Texts([], np.zeros(0, np.int64))
    combos, index = distinct(*(column.index for column in columns))
    tables = [[*column.values, None] for column in columns]
    texts = [function(*(table[code] for table, code in zip(tables, combo, strict=True))) for combo in combos.tolist()]
    return again(texts, index)


def again(texts: Sequence[str | None], index: Array) -> Texts:
    """Texts each of which has one number."""
    codes: dict[str | None, int] = {}
    every = [codes.setdefault(text, len(codes)) for text in texts] + [codes.setdefault(None, len(codes))]
    numbers = np.array(every, np.int32)
    return Texts(list(codes), numbers[index])
