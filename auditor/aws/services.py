"""Service, Region and partition of each flow of a batch: by name, else by address."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from auditor.aws.names import Endpoint, endpoint, imitates, may_concern_aws
from auditor.aws.ranges import Ranges

Array = np.ndarray[Any, Any]
PINPOINT = ("pinpoint", "sms-voice", "social-messaging", "ses", "ses-smtp")


@dataclass
class Services:
    """Texts (None for unknown) and flags for each flow."""

    service: Array
    region: Array
    partition: Array
    is_endpoint: Array  # a service's endpoint, not a customer's machine
    imitates: Array


NOTHING: tuple[Endpoint | None, bool] = (None, False)


@lru_cache(maxsize=65536)
def _read(name: str) -> tuple[Endpoint | None, bool]:
    return endpoint(name), imitates(name)


def _of_name(name: str | None) -> tuple[Endpoint | None, bool]:
    return _read(name) if name is not None and may_concern_aws(name) else NOTHING


def find(names: list[str | None], name_index: Array, high: Array, low: Array, ranges: Ranges) -> Services:
    """``names[name_index[n]]`` is flow n's server name; ``high`` and ``low`` its server's address."""
    told = [_of_name(name) for name in names] or [NOTHING]

    def of_name(part: str) -> Array:
        values = np.full(len(told), None, object)
        values[:] = [getattr(where, part) if where else None for where, _ in told]
        return values[name_index]

    service, region, partition = of_name("service"), of_name("region"), of_name("partition")
    known = np.array([where is not None for where, _ in told])[name_index]
    is_endpoint = np.array([where is not None and not where.customer for where, _ in told])[name_index]
    named = np.array([name is not None for name in names] or [False])[name_index]
    fake = np.array([false for _, false in told])[name_index]
    rest = np.flatnonzero(~known)
    for at, found in zip(rest, ranges.find(high[rest], low[rest]), strict=True):
        if found is None:
            continue
        service[at], region[at], partition[at] = found.service, found.region, _partition(found.region)
        is_endpoint[at] = found.is_endpoint and not named[at]
    # A name says the service; where it does not say the Region, the address may.
    lacking = np.flatnonzero(known & np.array([r is None for r in region]))
    for at, found in zip(lacking, ranges.find(high[lacking], low[lacking]), strict=True):
        region[at] = found.region if found else None
    return Services(service, region, partition, is_endpoint, fake)


def _partition(region: str | None) -> str:
    if region and region.startswith("cn-"):
        return "aws-cn"
    if region and region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws-eusc" if region and region.startswith("eusc-") else "aws"
