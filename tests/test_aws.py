"""AWS names and addresses: what they stand for, and what only looks like them."""

import gzip
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import auditor
from auditor.aws.names import Endpoint, endpoint, imitates, may_concern_aws
from auditor.aws.ranges import Range, Ranges
from auditor.errors import InputError
from tests import wire


@pytest.mark.parametrize(
    ("name", "service", "region", "partition"),
    [
        ("pinpoint.us-east-1.amazonaws.com", "pinpoint", "us-east-1", "aws"),
        ("PINPOINT.US-EAST-1.AMAZONAWS.COM.", "pinpoint", "us-east-1", "aws"),
        ("pinpoint-fips.us-gov-west-1.amazonaws.com", "pinpoint", "us-gov-west-1", "aws-us-gov"),
        ("pinpoint.eu-west-1.api.aws", "pinpoint", "eu-west-1", "aws"),
        ("sms-voice.pinpoint.us-west-2.amazonaws.com", "sms-voice", "us-west-2", "aws"),
        ("sms-voice.eusc-de-east-1.amazonaws.eu", "sms-voice", "eusc-de-east-1", "aws-eusc"),
        ("social-messaging.ap-south-1.amazonaws.com", "social-messaging", "ap-south-1", "aws"),
        ("email.cn-north-1.amazonaws.com.cn", "ses", "cn-north-1", "aws-cn"),
        ("email-smtp.eu-central-1.amazonaws.com", "ses-smtp", "eu-central-1", "aws"),
        ("vpce-0123abcd-xyz12345.pinpoint.us-east-1.vpce.amazonaws.com", "pinpoint", "us-east-1", "aws"),
        ("bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1", "aws"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1", "aws"),
        ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1", "aws"),
        ("s3-us-west-2.amazonaws.com", "s3", "us-west-2", "aws"),
        ("pinpoint.xx-east-1.amazonaws.com", "pinpoint", None, "aws"),
        ("*.us-east-1.amazonaws.com", None, "us-east-1", "aws"),
        ("public.ecr.aws", "ecr-public", None, "aws"),
        ("bucket.s3-website-eu-west-1.amazonaws.com", "s3", "eu-west-1", "aws"),
        ("bucket.s3-website.us-east-2.amazonaws.com", "s3", "us-east-2", "aws"),
        ("bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", "s3", "us-east-1", "aws"),
        ("iam.us-gov.amazonaws.com", "iam", None, "aws-us-gov"),
        ("route53.us-gov.amazonaws.com", "route53", None, "aws-us-gov"),
        ("abc123.endpoints.email.global.api.aws", "ses", None, "aws"),
        ("us-east-1.console.aws.amazon.com", "console", "us-east-1", "aws"),
        ("signin.aws.amazon.com", "signin", None, "aws"),
        ("us-gov-east-1.signin-fips.amazonaws-us-gov.com", "signin", "us-gov-east-1", "aws-us-gov"),
        ("us-iso-east-1.signin.c2shome.ic.gov", "signin", "us-iso-east-1", "aws-iso"),
        ("eusc-de-east-1.signin.amazonaws-eusc.eu", "signin", "eusc-de-east-1", "aws-eusc"),
        ("us-gov-west-1.console.amazonaws-us-gov.com", "console", "us-gov-west-1", "aws-us-gov"),
        ("sts.amazonaws.com", "sts", None, "aws"),
        ("kms.us-isob-east-1.sc2s.sgov.gov", "kms", "us-isob-east-1", "aws-iso-b"),
        ("x-123456789012.s3-object-lambda.us-west-2.amazonaws.com", "s3-object-lambda", "us-west-2", "aws"),
        ("mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com", "s3", None, "aws"),
        ("b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", "s3express", "us-east-1", "aws"),
        ("us-west-2.s3.amazonaws.com", "s3", None, "aws"),
        ("us-west-2.s3.us-east-1.amazonaws.com", "s3", "us-east-1", "aws"),
        ("us-west-2.queue.amazonaws.com", "sqs", "us-west-2", "aws"),
        ("123456789012.ddb.us-east-1.amazonaws.com", "dynamodb", "us-east-1", "aws"),
        ("a1b2c3-ats.iot.us-east-1.amazonaws.com", "iot", "us-east-1", "aws"),
        ("abcdef.data.mediastore.us-west-2.amazonaws.com", "mediastore", "us-west-2", "aws"),
        ("dynamodb.eusc-de-east-1.api.amazonwebservices.eu", "dynamodb", "eusc-de-east-1", "aws-eusc"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "ecr", "us-gov-west-1", "aws-us-gov"),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "ecr", "us-east-1", "aws"),
    ],
)
def test_names(name: str, service: str | None, region: str | None, partition: str) -> None:
    """Service, Region and partition come from the name, in every partition and variant."""
    found = endpoint(name)
    assert found is not None
    assert (found.service, found.region, found.partition) == (service, region, partition)
    assert may_concern_aws([name]) == [True]
    assert not imitates(name)


def test_fips_and_interface_endpoints() -> None:
    """The FIPS mark and the interface endpoint are read out of the name."""
    assert endpoint("email-fips.us-east-1.amazonaws.com") == Endpoint("ses", "us-east-1", "aws", fips=True)
    for before in ("vpce-1-2.pinpoint", "*.vpce-1-2.s3", "my-ap-123456789012.accesspoint.vpce-1-2.s3"):
        found = endpoint(f"{before}.us-east-1.vpce.amazonaws.com")
        assert found is not None
        assert found.interface_endpoint == "vpce-1-2"
    private = endpoint("abc123-vpce-0ab.execute-api.us-east-1.amazonaws.com")
    assert private is not None
    assert private.interface_endpoint == "vpce-0ab"


def botocore_endpoints() -> dict[str, tuple[str, str | None, bool]]:
    """Each host name of botocore's endpoints.json -> partition, Region and whether it is a FIPS endpoint."""
    session = pytest.importorskip("botocore.session").get_session()
    found: dict[str, tuple[str, str | None, bool]] = {}
    for partition in session.get_data("endpoints")["partitions"]:
        regions = set(partition["regions"])
        for name, service in partition["services"].items():
            for key, one in service.get("endpoints", {}).items():
                for usual in service.get("defaults", {}).get("variants", ()) if key in regions else ():
                    words = {"service": name, "region": key, "dnsSuffix": partition["dnsSuffix"]} | usual
                    host = usual.get("hostname", "").format(**words)
                    if "fips" in usual["tags"] and host and "fips" not in host:  # as GovCloud's are
                        found[host] = (partition["partition"], key, True)
                region = one.get("credentialScope", {}).get("region", key) if one.get("deprecated") else key
                where = region if region in regions else None
                for variant in one.get("variants", ()):
                    if "hostname" in variant and "fips" in variant["tags"]:
                        found[variant["hostname"]] = (partition["partition"], where, True)
                if one.get("hostname", "localhost").startswith("localhost"):
                    continue  # DynamoDB on one's own machine
                if "fips" not in one["hostname"]:
                    found.setdefault(one["hostname"], (partition["partition"], where, False))
    return {name: told for name, told in found.items() if not name.startswith("ramus-gov-")}  # a dot is missing there


def test_all_names_of_botocore() -> None:
    """Of every endpoint in every partition: it is AWS's, of that partition and Region, and FIPS exactly where listed."""
    told = botocore_endpoints()
    assert len(told) > 2000
    wrong = []
    for name, (partition, region, fips) in told.items():
        found = endpoint(name)
        if (
            found is None
            or (found.partition, found.fips) != (partition, fips)
            or found.service is None
            or (found.region is not None and region is not None and found.region != region)
            or found.customer
            or imitates(name)
            or may_concern_aws([name]) == [False]
        ):
            wrong.append((name, found))
    assert not wrong, wrong[:20]


@pytest.mark.parametrize(
    "name",
    [
        "my-fips.s3.us-east-1.amazonaws.com",
        "fips.s3.us-east-1.amazonaws.com",
        "pinpoint.us-gov-west-1.amazonaws.com",
        "s3-fips.s3.amazonaws.com",
        "x-fips.us-east-1.elb.amazonaws.com",
        "fips.auth.us-east-1.amazoncognito.com",
    ],
)
def test_what_is_no_fips_endpoint(name: str) -> None:
    """A bucket or a load balancer may be called fips; and a Region of GovCloud does not make an endpoint one."""
    found = endpoint(name)
    assert found is not None
    assert not found.fips


@pytest.mark.parametrize(
    "name",
    [
        "pinpoint.us-east-1.amazonaws.com.evil.example",
        "pinpoint.us-east-1.amazonaws.co",
        "pinpoint.us-east-1.amaz0naws.com",
        "pinpoint-us-east-1-amazonaws-com.example",
        "xamazonaws.com",
        "s3.us-east-1.amazonaws.com\\x00.evil.example",
    ],
)
def test_look_alikes(name: str) -> None:
    """A name with an AWS name inside is not AWS's, and is told as an imitation."""
    assert endpoint(name) is None
    assert imitates(name)
    assert may_concern_aws([name]) == [True]


@pytest.mark.parametrize(
    "name",
    [
        *("example.org", "www.amazon.com", "news.example", "a" * 255, "", ".", "awsome.example"),
        *(
            "cloudfront.net",
            "xcloudfront.net",
            "amazonaws.com",
            "s3..us-east-1.amazonaws.com",
        ),
        *(
            "\u212ainesis.us-east-1.amazonaws.com",
            f"{'a' * 64}.s3.us-east-1.amazonaws.com",
            f"{'a.' * 120}s3.amazonaws.com",
        ),
    ],
)
def test_other_names(name: str) -> None:
    """Names that have nothing to do with AWS are neither."""
    assert endpoint(name) is None
    assert not imitates(name)


@pytest.mark.parametrize(
    ("name", "service", "region", "partition"),
    [
        ("lb-1.us-east-1.elb.amazonaws.com", "elb", "us-east-1", "aws"),
        ("nlb-1.elb.eusc-de-east-1.amazonaws.eu", "elb", "eusc-de-east-1", "aws-eusc"),
        ("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", "compute", "eu-west-1", "aws"),
        ("search-x-abc.us-east-1.es.amazonaws.com", "es", "us-east-1", "aws"),
        ("svc-0abc.7d67968.vpc-lattice-svcs.us-east-2.on.aws", "vpc-lattice-svcs", "us-east-2", "aws"),
        ("vpce-0123-abc.vpce-svc-0123.us-east-1.vpce.amazonaws.com", "vpce-svc-0123", "us-east-1", "aws"),
        ("abcdef.us-east-1.awsapprunner.com", "apprunner", "us-east-1", "aws"),
        ("d111111abcdef8.cloudfront.net", "cloudfront", None, "aws"),
        ("d111111abcdef8.cloudfront.cn", "cloudfront", None, "aws-cn"),
        ("a1234567890abcdef.dualstack.awsglobalaccelerator.com", "globalaccelerator", None, "aws"),
        ("env.eba-xyz.us-east-1.elasticbeanstalk.com", "elasticbeanstalk", "us-east-1", "aws"),
        ("x.auth-fips.us-gov-west-1.amazoncognito.com", "cognito-idp", "us-gov-west-1", "aws-us-gov"),
    ],
)
def test_what_customers_have_is_no_service_endpoint(
    name: str, service: str, region: str | None, partition: str
) -> None:
    """What a customer has under a name of AWS's is told by its service and Region, and is no endpoint of the service."""
    found = endpoint(name)
    assert found is not None
    assert (found.service, found.region, found.partition, found.customer) == (service, region, partition, True)
    assert may_concern_aws([name]) == [True]
    assert not imitates(name)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("s-123.server.transfer.us-east-1.amazonaws.com", "transfer"),
        ("fs-123.efs.us-east-1.amazonaws.com", "efs"),
        ("b-1.x.abc.c2.kafka.us-east-1.amazonaws.com", "kafka"),
        ("c.cluster-abc.us-east-1.docdb.amazonaws.com", "docdb"),
        ("wg.123456789012.us-east-1.redshift-serverless.amazonaws.com", "redshift-serverless"),
    ],
)
def test_what_aws_runs_for_a_customer_is_a_service(name: str, service: str) -> None:
    """Servers of files, messages and data that AWS runs, each with a name of its own, are its services: which way they went counts."""
    found = endpoint(name)
    assert found is not None
    assert (found.service, found.region, found.customer) == (service, "us-east-1", False)


@pytest.mark.parametrize(
    "name",
    ["elb.s3.us-east-1.amazonaws.com", "rds.es.s3.us-east-1.amazonaws.com", "my.compute.s3.amazonaws.com",
     "kafka.us-east-1.amazonaws.com", "redshift-serverless.us-east-1.amazonaws.com", "aoss.us-east-1.amazonaws.com"],
)  # fmt: skip
def test_endpoints_with_words_of_customers_names(name: str) -> None:
    """A bucket may be called as what customers have elsewhere, and a service's own API has its first label."""
    found = endpoint(name)
    assert found is not None
    assert not found.customer


def test_all_names_of_the_messaging_services(corpus: Path) -> None:
    """Every endpoint name that botocore resolves has the right Region."""
    told = json.loads((corpus.parent / "aws" / "messaging_endpoints.json").read_text())
    names = [
        (n, region) for regions in told.values() for region, row in regions.items() for n in row if isinstance(n, str)
    ]
    assert len(names) == 520
    for name, region in names:
        found = endpoint(name)
        assert found is not None, name
        assert found.region == region, name


def halves(*addresses: str) -> tuple[np.ndarray, np.ndarray]:
    numbers = []
    for text in addresses:
        address = ipaddress.ip_address(text)
        numbers.append(int(address) + ((0xFFFF << 32) if address.version == 4 else 0))
    return np.array([n >> 64 for n in numbers], np.uint64), np.array([n & (2**64 - 1) for n in numbers], np.uint64)


def test_ranges_against_the_list_itself(corpus: Path) -> None:
    """Every prefix's first and last address has the Region of the longest prefix and the services of all."""
    told = json.loads(gzip.decompress((corpus.parent / "aws" / "ip-ranges.json.gz").read_bytes()))
    nets = [(ipaddress.ip_network(p["ip_prefix"]), p["region"], p["service"]) for p in told["prefixes"]]
    by_start = sorted(nets, key=lambda n: int(n[0].network_address))
    sample = by_start[:: len(by_start) // 150]
    addresses = [str(n[0][k]) for n in sample for k in (0, -1)]
    for text, found in zip(addresses, Ranges.shipped().find(*halves(*addresses)), strict=True):
        address = ipaddress.ip_address(text)
        cover = [(n.prefixlen, region, service) for n, region, service in nets if address in n]
        region = max(cover)[1]
        assert found == Range(None if region == "GLOBAL" else region, frozenset(c[2] for c in cover)), text


def test_what_is_not_in_the_ranges() -> None:
    """Private and documentation addresses belong to nobody; the snapshot says its date."""
    ranges = Ranges.shipped()
    assert ranges.find(*halves("10.0.0.1", "192.0.2.1", "2001:db8::1", "0.0.0.0", "255.255.255.255")) == [None] * 5
    assert ranges.date == "2026-08-22"


def test_a_newer_list(tmp_path: Path) -> None:
    """ip-ranges.json can be given, packed or not; something else is refused with the file's name."""
    path = tmp_path / "ranges.json"
    data = {
        "createDate": "2027-01-02-03-04-05",
        "syncToken": "1",
        "prefixes": [{"ip_prefix": "192.0.2.0/24", "region": "xx-west-1", "service": "AMAZON"}],
        "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "GLOBAL", "service": "S3"}],
    }
    path.write_bytes(gzip.compress(json.dumps(data).encode()))
    found = Ranges.read(path).find(*halves("192.0.2.255", "192.0.3.0", "2001:db8::1"))
    assert [f.region if f else "-" for f in found] == ["xx-west-1", "-", None]
    path.write_text("[]")
    with pytest.raises(InputError, match=r"ranges\.json: not AWS's ip-ranges\.json"):
        Ranges.read(path)


@pytest.mark.parametrize(
    ("name", "is_fips"),
    [
        ("fips.eks.eu-central-1.amazonaws.com", True),
        ("us-gov-east-1.signin-fips.amazonaws-us-gov.com", True),
        ("us-gov-east-1.signin.amazonaws-us-gov.com", False),
        ("fips.amazonaws.com", False),
        ("www.c2shome.ic.gov", None),
        ("fips.eks.us-east-1.amazonaws.com.example.org", None),
    ],
)
def test_names_that_say_fips_elsewhere(name: str, is_fips: bool | None) -> None:
    """Sign-in pages and EKS write it in other places; None for a name that is no endpoint of AWS's."""
    found = endpoint(name)
    assert (None if found is None else found.fips) == is_fips
    assert found is None or not found.customer


def test_what_is_no_name_hides_no_endpoint(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """A Host that is an address, or of no domain, says nothing of whose server it is: AWS's addresses do; another name does."""
    hosts = {"52.46.130.10": True, "52.46.130.10:80": True, "[2600::1]": True, "localhost": True, "app.example": False}
    packets = []
    for port, host in enumerate(hosts, 40_000):
        request = f"GET /v1/apps HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        flights = [("c", request), ("s", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
        talk = wire.Talk(server="52.46.130.10", sport=port, dport=80).open().play(flights).close()
        packets += talk.packets
    flows = audit_bytes(wire.pcap(packets)).flows.sort_values("client_port")
    assert flows["aws_endpoint"].tolist() == list(hosts.values())
    assert flows["verdict"].astype(str).tolist()[:-1] == ["fail"] * 4
