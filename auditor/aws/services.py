"""Service, Region and partition of each flow of a batch: by name, else by address."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from auditor.aws.names import Endpoint, endpoint, imitates, may_concern_aws
from auditor.aws.ranges import Ranges
from auditor.tables.columns import Column, Numbers, Texts, distinct

Array = np.ndarray[Any, Any]
PINPOINT = ("pinpoint", "sms-voice", "social-messaging", "ses", "ses-smtp")


@dataclass(eq=False, repr=False)
class Services:
    """Texts and flags for each flow."""

    service: Texts
    region: Texts
    partition: Texts
    is_endpoint: Array  # a service's endpoint, not a customer's machine
    is_pinpoint: Array  # an endpoint of Pinpoint / AWS End User Messaging
    imitates: Array

    def columns(self) -> dict[str, Column]:
        """The columns of ``flows``."""
        return {
            "service": self.service,
            "region": self.region,
            "partition": self.partition,
            "aws_endpoint": Numbers(self.is_endpoint),
        }


@lru_cache(maxsize=65536)
def _read(name: str) -> tuple[Endpoint | None, bool]:
    return endpoint(name), imitates(name)


def _of_names(names: list[str | None]) -> tuple[dict[int, Endpoint], list[int]]:
    """The endpoints that names stand for, by the names' places, and the places of imitations."""
    texts = ["" if name is None else name for name in names]
    read = {at: _read(texts[at]) for at, concerns in enumerate(may_concern_aws(texts)) if concerns}
    endpoints = {at: where for at, (where, _) in read.items() if where is not None}
    return endpoints, [at for at, (_, false) in read.items() if false]


def _among(places: Iterable[int], count: int) -> Array:
    """Which of the numbers below ``count`` are among some."""
    some = np.zeros(count, bool)
    some[list(places)] = True
    return some


def _says_whose(name: str) -> bool:
    """Whether a name says whose the server is: an address does not, as in the Host of one, nor does a name without a domain."""
    host, colon, port = name.partition(":")
    _, dot, last = host.rstrip(".").rpartition(".")
    return bool(dot) and not last.isdigit() and (not colon or port.isdigit())


def find(names: list[str | None], name_index: Array, high: Array, low: Array, ranges: Ranges) -> Services:
    """``names[name_index[n]]`` is flow n's server name; ``high`` and ``low`` its server's address.

    What a flow is recognised by is a source: a name, an address range, or an AWS name whose Region only the range says.
    """
    endpoints, imitations = _of_names(names)
    is_aws = _among(endpoints, len(names))[name_index]
    no_region = _among((at for at, where in endpoints.items() if where.region is None), len(names))[name_index]
    row = ranges.rows_of(high, low)
    combos, index = distinct(np.where(is_aws, name_index, len(names)), np.where(is_aws & ~no_region, 0, row))
    sources = [(endpoints.get(n), ranges.rows[r]) for n, r in combos.tolist()]
    service = [where.service if where else entry.service if entry else None for where, entry in sources]
    region = [(where.region if where else None) or (entry.region if entry else None) for where, entry in sources]
    partition = [where.partition if where else _partition(entry.region) if entry else None for where, entry in sources]
    by_name = np.array([where is not None and not where.customer for where, _ in sources])[index]
    by_range = np.array([where is None and entry is not None and entry.is_endpoint for where, entry in sources])[index]
    nameless = np.array([name is None or not _says_whose(name) for name in names])[name_index]
    is_endpoint = by_name | (by_range & nameless)
    return Services(
        Texts(list(service), index),
        Texts(list(region), index),
        Texts(list(partition), index),
        is_endpoint,
        is_endpoint & np.array([s in PINPOINT for s in service])[index],
        _among(imitations, len(names))[name_index],
    )


def _partition(region: str | None) -> str:
    if region and region.startswith("cn-"):
        return "aws-cn"
    if region and region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws-eusc" if region and region.startswith("eusc-") else "aws"
