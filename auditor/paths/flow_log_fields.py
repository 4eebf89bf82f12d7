"""Which fields the rows of a flow log have: by its header, by a ``LogFormat``, or by what the fields of its rows look like."""

import re
from collections.abc import Sequence
from functools import cache

from auditor.border.words import counted
from auditor.prefixes import parse_address

# In AWS's order: version 2 (VPC User Guide, Flow log records), and that of transit gateways (Transit Gateway Flow Logs).
DEFAULT = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
]
TRANSIT_DEFAULT = [
    "version",
    "resource-type",
    "account-id",
    "tgw-id",
    "tgw-attachment-id",
    "tgw-src-vpc-account-id",
    "tgw-dst-vpc-account-id",
    "tgw-src-vpc-id",
    "tgw-dst-vpc-id",
    "tgw-src-subnet-id",
    "tgw-dst-subnet-id",
    "tgw-src-eni",
    "tgw-dst-eni",
    "tgw-src-az-id",
    "tgw-dst-az-id",
    "tgw-pair-attachment-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "log-status",
    "type",
    "packets-lost-no-route",
    "packets-lost-blackhole",
    "packets-lost-mtu-exceeded",
    "packets-lost-ttl-expired",
    "tcp-flags",
    "region",
    "flow-direction",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
]
# All fields in the order of AWS's table of them, which ends sooner in older versions (VPC User Guide, Available fields).
DOCUMENTED = [
    *DEFAULT,
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "az-id",
    "sublocation-type",
    "sublocation-id",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "traffic-path",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
]
CONSOLE = sorted(DOCUMENTED[: DOCUMENTED.index("traffic-path") + 1])  # as its console orders them when all are chosen
FORMAT = re.compile(r"\$\{([a-z0-9-]+)\}")
SEPARATOR = re.compile(r"[-_\s]")
NOTHING = re.compile("-")
NUMBER = re.compile(r"\d+|-")
# What fields look like. Where rows have no header, these tell formats of as many fields apart.
LOOKS = {
    "version": re.compile(r"\d{1,2}"),
    "account-id": re.compile(r"\d{12}|unknown|-"),
    "interface-id": re.compile(r"eni-\w+|-"),
    "resource-type": re.compile(r"TransitGateway\w*|-"),
    "tgw-id": re.compile(r"tgw-\w+|-"),
    "action": re.compile(r"ACCEPT|REJECT|-"),
    "log-status": re.compile(r"OK|NODATA|SKIPDATA|-"),
    "flow-direction": re.compile(r"ingress|egress|-"),
    "vpc-id": re.compile(r"vpc-\w+|-"),
    "subnet-id": re.compile(r"subnet-\w+|-"),
    "instance-id": re.compile(r"i-\w+|-"),
    "type": re.compile(r"IPv[46]|EFA|-"),
    "region": re.compile(r"[a-z]+(-[a-z]+)+-\d+|-"),
    "ecs-cluster-arn": re.compile(r"arn:.*|-"),
    "start": re.compile(r"\d{9,10}|-"),
    "end": re.compile(r"\d{9,10}|-"),
    "protocol": re.compile(r"\d{1,3}|-"),
    "srcport": NUMBER,
    "dstport": NUMBER,
    "packets": NUMBER,
    "bytes": NUMBER,
    "traffic-path": re.compile(r"\d|-"),
    "tcp-flags": NUMBER,
}
ADDRESSES = ("srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr")
MOST_LOOKED_AT = 20  # rows
# Names of fields in Athena's and Insights' columns, without case, hyphens and underscores, where they are not AWS's own.
ALIASES = {
    "account": "account-id",
    "sourceaddress": "srcaddr",
    "destinationaddress": "dstaddr",
    "sourceport": "srcport",
    "destinationport": "dstport",
    "numpackets": "packets",
    "numbytes": "bytes",
    "starttime": "start",
    "endtime": "end",
    "windowstart": "start",
    "windowend": "end",
    "stop": "end",
}


def spelled(name: str, known: Sequence[str]) -> str:
    """A field's name as AWS spells it in formats: srcAddr and src_addr are srcaddr, interfaceId interface-id."""
    plain = SEPARATOR.sub("", name).lower()
    return _by_plain(tuple(known)).get(plain) or ALIASES.get(plain) or name


@cache
def _by_plain(known: tuple[str, ...]) -> dict[str, str]:
    """The names that are known, by themselves without hyphens."""
    return {name.replace("-", ""): name for name in known}


def header(line: str, known: Sequence[str]) -> list[str]:
    """The fields that a line names, by AWS's names or as a ``LogFormat``; [] where it is no header."""
    names = FORMAT.findall(line) or [spelled(name, known) for name in line.split()]
    return names if {"srcaddr", "dstaddr"} <= set(names) else []


def fits(row: str, names: Sequence[str]) -> bool:
    """Whether a row may have these fields."""
    values = row.split()
    if len(values) != len(names) or "srcaddr" not in names:
        return False
    return all(_looks(name, value) for name, value in zip(names, values, strict=True))


def _looks(name: str, value: str) -> bool:
    if name in ADDRESSES and value != "-":
        try:
            parse_address(value)
        except ValueError:
            return False
    return name not in LOOKS or LOOKS[name].fullmatch(value) is not None


def is_row(text: str, formats: Sequence[Sequence[str]]) -> bool:
    """Whether a text is a row of one of AWS's default formats, of all fields in its order, or of ``formats``."""
    return any(fits(text, names) for names in (DEFAULT, TRANSIT_DEFAULT, *formats, *_in_order(len(text.split()))))


def _in_order(count: int) -> list[list[str]]:
    """Formats of so many fields that are AWS's order of all of them."""
    documented = [DOCUMENTED[:count]] if len(DEFAULT) < count <= len(DOCUMENTED) else []
    return [*documented, CONSOLE] if count == len(CONSOLE) else documented


def of_rows(lines: Sequence[str], formats: Sequence[Sequence[str]]) -> list[str]:
    """The fields of rows without a header. Raises ValueError where no format fits, or several do."""
    rows = [line for line in lines if line.strip()][:MOST_LOOKED_AT]
    if not rows:
        return DEFAULT
    counts = [sum(fits(row, names) for row in rows) for names in (*formats, DEFAULT, TRANSIT_DEFAULT)]
    best = [
        list(names)
        for names, count in zip((*formats, DEFAULT, TRANSIT_DEFAULT), counts, strict=True)
        if count == max(counts)
    ]
    count = len(rows[0].split())
    if not max(counts):
        in_order = [names for names in _in_order(count) if all(fits(row, names) for row in rows)]
        if len(in_order) == 1:
            return in_order[0]
        beside = "the output of aws ec2 describe-flow-logs beside it, or in the folder of --aws"
        raise ValueError(
            f"no header, and {counted(count, 'field')}: give {beside}" if count != 1 else f"no header: give {beside}"
        )
    if any(names != best[0] for names in best):
        raise ValueError(
            f"no header, and its rows of {counted(count, 'field')} fit several formats that aws ec2 describe-flow-logs lists: "
            "give that log's format alone"
        )
    return best[0]
