"""How to fix what a check finds, by where it is fixed: AWS, boto3, OpenSSL, ELB, CloudFront."""

import tomllib
from functools import cache

from auditor import data


@cache
def _ways() -> dict[str, dict[str, str]]:
    return tomllib.loads(data.FOLDER.joinpath("fixes.toml").read_text(encoding="utf-8"))


def ways(check: str) -> dict[str, str]:
    """What to do, by where it is done; empty where the rule's own words say all."""
    return _ways().get(check, {})
