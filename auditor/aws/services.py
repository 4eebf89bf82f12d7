"""Service, Region and partition of each flow of a batch: by name, else by address."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from auditor.aws.names import Endpoint, endpoint, imitates, may_concern_aws
from auditor.aws.ranges import Ranges
from auditor.tables.columns import Column, Numbers, Texts, distinct

Array = np.ndarray[Any, Any]
PINPOINT = ("pinpoint", "sms-voice", "social-messaging", "ses", "ses-smtp")


@dataclass
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


NOTHING: tuple[Endpoint | None, bool] = (None, False)


@lru_cache(maxsize=65536)
def _read(name: str) -> tuple[Endpoint | None, bool]:
    return endpoint(name), imitates(name)


def _of_names(names: list[str | None]) -> list[tuple[Endpoint | None, bool]]:
    texts = ["" if name is None else name for name in names]
    some = may_concern_aws(texts)
    return [_read(text) if concerns else NOTHING for text, concerns in zip(texts, some, strict=True)]


def find(names: list[str | None], name_index: Array, high: Array, low: Array, ranges: Ranges) -> Services:
    """``names[name_index[n]]`` is flow n's server name; ``high`` and ``low`` its server's address.

    What a flow is recognised by is a source: a name, an address range, or an AWS name whose Region only the range says.
    """
    endpoints = _of_names(names)
    is_aws = np.array([where is not None for where, _ in endpoints])[name_index]
    no_region = np.array([where is not None and where.region is None for where, _ in endpoints])[name_index]
    row = ranges.rows_of(high, low)
    combos, index = distinct(np.where(is_aws, name_index, len(names)), np.where(is_aws & ~no_region, 0, row))
    sources = [(endpoints[n][0] if n < len(names) else None, ranges.rows[r]) for n, r in combos.tolist()]
    service = [where.service if where else entry.service if entry else None for where, entry in sources]
    region = [(where.region if where else None) or (entry.region if entry else None) for where, entry in sources]
    partition = [where.partition if where else _partition(entry.region) if entry else None for where, entry in sources]
    by_name = np.array([where is not None and not where.customer for where, _ in sources])[index]
    by_range = np.array([where is None and entry is not None and entry.is_endpoint for where, entry in sources])[index]
    nameless = np.array([name is None for name in names])[name_index]
    is_endpoint = by_name | (by_range & nameless)
    return Services(
        Texts(list(service), index),
        Texts(list(region), index),
        Texts(list(partition), index),
        is_endpoint,
        is_endpoint & np.array([s in PINPOINT for s in service])[index],
        np.array([false for _, false in endpoints])[name_index],
    )


def _partition(region: str | None) -> str:
    if region and region.startswith("cn-"):
        return "aws-cn"
    if region and region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws-eusc" if region and region.startswith("eusc-") else "aws"
