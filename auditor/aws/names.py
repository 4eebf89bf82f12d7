"""AWS host names: which partition, Region and service they name. Look-alike names match nothing.

Partitions and their suffixes are botocore's partitions.json; the endpoint forms of Pinpoint / AWS End User Messaging
are those of its endpoint rules; interface endpoint names as in the AWS PrivateLink guide.
"""

import re
from functools import cache
from typing import NamedTuple

from auditor import data

# suffix -> partition, longest first where one ends another.
SUFFIXES = {
    "amazonaws.com.cn": "aws-cn",
    "api.amazonwebservices.com.cn": "aws-cn",
    "amazonaws.com": "aws",
    "api.aws": "aws",
    "on.aws": "aws",
    "aws.amazon.com": "aws",
    "signin.aws": "aws",
    "ecr.aws": "aws",
    "amazonaws.cn": "aws-cn",
    "amazonaws-us-gov.com": "aws-us-gov",
    "amazonaws.eu": "aws-eusc",
    "amazonaws-eusc.eu": "aws-eusc",
    "api.amazonwebservices.eu": "aws-eusc",
    "c2s.ic.gov": "aws-iso",
    "api.aws.ic.gov": "aws-iso",
    "sc2s.sgov.gov": "aws-iso-b",
    "api.aws.scloud": "aws-iso-b",
    "cloud.adc-e.uk": "aws-iso-e",
    "api.cloud-aws.adc-e.uk": "aws-iso-e",
    "csp.hci.ic.gov": "aws-iso-f",
    "api.aws.hci.ic.gov": "aws-iso-f",
    "c2shome.ic.gov": "aws-iso",
    "sc2shome.sgov.gov": "aws-iso-b",
    "csphome.adc-e.uk": "aws-iso-e",
    "csphome.hci.ic.gov": "aws-iso-f",
}
# Domains under which AWS names what customers have there (AWS General Reference and the services' guides): partition, service.
OF_CUSTOMERS = {
    "cloudfront.net": ("aws", "cloudfront"),
    "cloudfront.cn": ("aws-cn", "cloudfront"),
    "awsglobalaccelerator.com": ("aws", "globalaccelerator"),
    "awsapprunner.com": ("aws", "apprunner"),
    "elasticbeanstalk.com": ("aws", "elasticbeanstalk"),
    "amazoncognito.com": ("aws", "cognito-idp"),
    "amplifyapp.com": ("aws", "amplify"),
}
SUFFIXES |= {suffix: partition for suffix, (partition, _) in OF_CUSTOMERS.items()}
REGION = re.compile(r"(?:us|eu|ap|sa|ca|me|af|il|mx|cn|eusc|us-gov|us-iso[a-z]?|eu-isoe)(?:-[a-z]+){1,3}-\d{1,2}")
_LIKE_REGION = re.compile(r"[a-z]{2,4}-(?:gov-|iso[a-z]?-)?(?:north|south|east|west|central)+-\d{1,2}")

# Of what AWS has beside its APIs, only the console and its sign-in are endpoints.
PAGES = {
    *("aws.amazon.com", "amazonaws.cn", "amazonaws-us-gov.com", "amazonaws-eusc.eu"),
    *("c2shome.ic.gov", "sc2shome.sgov.gov", "csphome.adc-e.uk", "csphome.hci.ic.gov"),
}
WHOLE_SERVICES = {"signin.aws": "signin", "ecr.aws": "ecr-public"}  # suffixes that one service has for itself
PAGE_SERVICES = ("console", "signin", "signin-fips")

# Names under amazonaws.com that belong to customers: a load balancer or an instance is no service endpoint.
CUSTOMER_LABELS = {"elb", "compute", "compute-1", "elasticbeanstalk", "rds", "cache", "redshift", "es", "aoss", "eks"}
# Names of services that stand in names of endpoints beside those that they are known by.
OTHER_NAMES = {"queue": "sqs", "ddb": "dynamodb", "dkr-ecr": "ecr", "dkr-ecr-fips": "ecr-fips"}
LABEL = re.compile(r"[a-z0-9_*]([a-z0-9_-]{0,61}[a-z0-9_])?")
LONGEST = 253  # of a name: RFC 1035 2.3.4, without the root's dot

PINPOINT_SERVICES = {
    "pinpoint": "pinpoint",
    "sms-voice": "sms-voice",
    "sms-voice.pinpoint": "sms-voice",
    "social-messaging": "social-messaging",
    "email": "ses",
    "email-smtp": "ses-smtp",
}


class Endpoint(NamedTuple):
    """What a host name says. ``service`` is the endpoint prefix, without ``-fips``; any part may be unknown."""

    service: str | None
    region: str | None
    partition: str
    fips: bool = False
    interface_endpoint: str | None = None
    customer: bool = False


def normal(name: str) -> str:
    """Lower case, without a trailing dot. What is no ASCII stays: the sign for Kelvin is no letter of a host name."""
    return (name.lower() if name.isascii() else name).removesuffix(".")


def host_of(authority: str | None) -> str:
    """The host of an authority (RFC 3986 3.2), without its port."""
    return re.sub(r":\d+$", "", authority or "")


# Every AWS name and every imitation has these letters, or one of the suffixes that lack them.
_WITHOUT_WS = tuple(suffix + dot for suffix in SUFFIXES if "ws" not in suffix for dot in ("", "."))
_TAILS = frozenset(suffix[-4:] for suffix in _WITHOUT_WS)


def may_concern_aws(names: list[str]) -> list[bool]:
    """A quick look that sorts out nearly all other names: False where ``endpoint`` and ``imitates`` find nothing."""
    return ["ws" in name or (name[-4:] in _TAILS and name.endswith(_WITHOUT_WS)) for name in map(str.lower, names)]


_BEHIND_LABELS = tuple(f".{suffix}" for suffix in SUFFIXES)


def _suffix(name: str) -> str | None:
    """The AWS suffix that ``name`` ends with at a label boundary."""
    if not name.endswith(_BEHIND_LABELS):
        return None
    return max((suffix for suffix in SUFFIXES if name.endswith(f".{suffix}")), key=len)


def endpoint(name: str) -> Endpoint | None:
    """What an AWS host name stands for; None for a name that is not AWS's.

    >>> endpoint("pinpoint.us-east-1.amazonaws.com").region
    'us-east-1'
    >>> endpoint("pinpoint.us-east-1.amazonaws.com.example.org") is None
    True
    """
    name = normal(name)
    suffix = _suffix(name)
    if suffix is None or not name.isascii() or len(name) > LONGEST:
        return None
    labels = name[: -len(suffix) - 1].split(".")
    if any(not LABEL.fullmatch(label) for label in labels):
        return None
    if suffix in OF_CUSTOMERS:
        return _of_customer(labels, *OF_CUSTOMERS[suffix])
    if suffix in PAGES and labels[-1] not in PAGE_SERVICES:
        return None
    if suffix in WHOLE_SERVICES:
        labels.append(WHOLE_SERVICES[suffix])
    interface = _interface_endpoint(labels)
    partition = _unregional(labels, SUFFIXES[suffix])
    before, region, after = _parted(labels)
    says_so = region is not None and before == ["fips", "eks"] and not after  # EKS has it in front, in every Region
    is_listed = says_so or name in fips_endpoints()
    service = _service(before, after)
    customer = (
        suffix == "on.aws" or bool(CUSTOMER_LABELS & {*after, *before[1:]}) or bool({"elb", "compute"} & {*labels})
    )
    customer &= service not in ("ecr", "ecr-fips")  # registries, whose dual-stack names are under on.aws too
    customer |= service is not None and service.startswith("vpce-svc-")  # what somebody offers by PrivateLink
    customer &= service is None or not IS_S3.match(service)  # what stands before S3's label names a bucket
    if service == "*":  # a certificate's name for all services of a Region
        service = None
    if service is not None:
        service, region = _hyphenated(service, region)
    may_say = not after or suffix in PAGES  # elsewhere what stands behind a Region may be a customer's
    fips = is_listed or (may_say and service is not None and service.endswith("-fips"))
    if service is not None:
        service = service.removesuffix("-fips")
    interface = interface or _of_private_api(before, service)
    return Endpoint(
        PINPOINT_SERVICES.get(service or "", service),
        region,
        _partition(region, partition),
        fips,
        interface,
        customer and not is_listed,
    )


def _partition(region: str | None, partition: str) -> str:
    """The partition of a Region under a suffix that AWS GovCloud shares."""
    return "aws-us-gov" if region is not None and region.startswith("us-gov-") else partition


def _of_customer(labels: list[str], partition: str, service: str) -> Endpoint:
    """What a name of something that a customer has says; Cognito's sign-in pages may be of a FIPS endpoint."""
    region = next((label for label in reversed(labels) if REGION.fullmatch(label)), None)
    return Endpoint(service, region, _partition(region, partition), "auth-fips" in labels, customer=True)


@cache
def fips_endpoints() -> frozenset[str]:
    """FIPS endpoints that do not say so right before the Region: listed by name."""
    text = data.FOLDER.joinpath("fips_endpoints.csv").read_text(encoding="utf-8")
    return frozenset(text.split("\n", 2)[2].split())


def _interface_endpoint(labels: list[str]) -> str | None:
    """The interface endpoint that a name is of, taken out of its labels; a bucket, an access point or a wildcard in front too (S3)."""
    if labels[-1] != "vpce":
        return None
    labels.pop()
    for at, label in enumerate(labels[:-1]):
        if label.startswith("vpce-") and not label.startswith("vpce-svc-"):
            del labels[: at + 1]
            return label
    return None


def _of_private_api(before: list[str], service: str | None) -> str | None:
    """The interface endpoint that stands in the name of a private API (API Gateway Developer Guide, Route 53 aliases)."""
    found = _PRIVATE_API.fullmatch(before[0]) if service == "execute-api" and len(before) == 2 else None
    return found[1] if found else None


def _unregional(labels: list[str], partition: str) -> str:
    """The partition; ``us-gov`` and ``global``, which stand in a Region's place, are taken out of the labels."""
    if len(labels) > 1 and labels[-1] in ("us-gov", "global"):
        return "aws-us-gov" if labels.pop() == "us-gov" else partition
    return partition


def _parted(labels: list[str]) -> tuple[list[str], str | None, list[str]]:
    """The labels before the Region, the Region, and those after it."""
    end = len(labels) if not IS_S3.match(labels[-1]) else 0  # before S3's label a bucket may be called as a Region is
    for at in range(end - 1, -1, -1):
        if REGION.fullmatch(labels[at]):
            return labels[:at], labels[at], labels[at + 1 :]
    if end > 1 and _LIKE_REGION.fullmatch(labels[end - 1]):  # one that nobody knows
        return labels[: end - 1], None, []
    return labels, None, []


_PRIVATE_API = re.compile(r"[a-z0-9]+-(vpce-[0-9a-f]+)")
IS_S3 = re.compile(r"s3(?:-|$)")
_S3_EXPRESS = re.compile(r"s3express(-fips)?-[a-z]{3,5}\d-az\d+")  # and the Availability Zone


def _hyphenated(service: str, region: str | None) -> tuple[str, str | None]:
    """A service on which its Region hangs with a hyphen, as ``s3-us-west-2`` (Amazon S3 User Guide, legacy endpoints), or its zone."""
    zone = _S3_EXPRESS.fullmatch(service)
    if zone is not None:
        return f"s3express{zone[1] or ''}", region
    match = re.fullmatch(rf"(s3(?:-website|-fips)?)-({REGION.pattern})", service) if region is None else None
    if match is not None:
        return match[1].replace("-website", ""), match[2]
    return ("s3", "us-east-1") if service == "s3-external-1" else (service, region)


def _service(before: list[str], after: list[str]) -> str | None:
    """The service among the labels before and after the Region."""
    if after:  # us-east-1.elb.amazonaws.com, eu-west-1.queue…
        return OTHER_NAMES.get(after[-1], after[-1])
    if not before:
        return None
    if len(before) >= 2 and before[-1] in ("pinpoint", "pinpoint-fips") and before[-2] == "sms-voice":
        return "sms-voice.pinpoint" + ("-fips" if before[-1].endswith("-fips") else "")
    last = before[-1]
    if last == "dualstack" and len(before) >= 2:
        last = before[-2]
    if last in ("s3-website", "s3-accelerate", "s3-accesspoint", "s3-accesspoint-fips"):
        return "s3-fips" if last.endswith("-fips") else "s3"
    if last == "s3-global":  # Multi-Region Access Points
        return "s3"
    return OTHER_NAMES.get(last, last)


def imitates(name: str) -> bool:
    """Whether a name that is not AWS's carries an AWS name inside, as ``pinpoint.us-east-1.amazonaws.com.evil.example``."""
    name = normal(name)
    if _suffix(name) is not None or name in SUFFIXES:
        return False
    labels = name.split(".")
    inner = ".".join(labels[:-1])
    dotted = f".{name}"
    if any(f"{suffix}." in dotted and not name.endswith(suffix[1:]) for suffix in _BEHIND_LABELS if "ws" in suffix):
        return True
    swapped = inner.replace("-", "").replace("0", "o").replace("1", "l")
    return any(word in labels or word in swapped for word in ("amazonaws", "amazonwebservices"))
