"""Logs of other kinds, by how they begin: what they are is said where one is given for a witness, and what to give instead."""

import re
from collections.abc import Iterator
from pathlib import Path

from auditor.errors import InputError, shown
from auditor.paths.aws_commands import COMMANDS, UNUSED

KNOWN = "VPC and transit gateway flow logs (text or Parquet), CloudTrail events, Zeek's conn.log and ssl.log, Suricata's EVE"
CONVERT = (
    "of other forms make JSON or text, as with aws logs filter-log-events --output json, or CSV, as Athena does; "
    "a flow log without a header needs the output of aws ec2 describe-flow-logs beside it, or in the folder of --aws"
)
NO_WAY = "it does not tell which way a connection came"
BESIDE = "what the capture's network looks like to AWS is given with --aws"
ZEEK_PRINTS = {"stderr.log", "stdout.log"}
ZEEK = rb'^#separator |^\{"ts":|^\{"_path":'

# How a log begins, what it is, and why it is no witness. Few audits meet any: patterns are compiled when they are used.
KINDS = (
    (
        rb"^(?:\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4|\x4d\x3c\xb2\xa1|\xa1\xb2\x3c\x4d|\x0a\x0d\x0d\x0a)",
        "a capture",
        "captures are given as they are, before the options",
    ),
    (
        rb"^(?:https?|h2|grpcs?|wss?) \d{4}-\d\d-\d\dT\S+ app/",
        "an access log of an Application Load Balancer",
        NO_WAY,
    ),
    (rb"^tls \d\.\d \d{4}-\d\d-\d\dT\S+ net/", "a log of a Network Load Balancer", NO_WAY),
    (rb"^\d{4}-\d\d-\d\dT\S+Z \S+ [\d.]+:\d+ [\d.]+:\d+ ", "an access log of a Classic Load Balancer", NO_WAY),
    (rb"^#Version: .*\n#Fields: date time x-edge", "a log of CloudFront", NO_WAY),
    (
        rb"^[0-9a-f]{5,64} \S+ \[\d\d/\w{3}/\d{4}:",
        "a server access log of Amazon S3",
        "CloudTrail's data events tell the endpoint",
    ),
    (rb'^\s*\{.*"query_name".*"srcaddr"', "a query log of Route 53 Resolver", "it holds names and no connections"),
    (rb'^\s*\{.*"(?:serviceNetworkArn|sourceIpPort|targetIpPort)"', "an access log of VPC Lattice", NO_WAY),
    (rb'^\s*\{.*"webaclId"', "a log of AWS WAF", NO_WAY),
    (
        rb'^\s*\{.*"ike_phase[12]_state"',
        "a log of a VPN's tunnels",
        "describe-vpn-connections says whether they are up; " + BESIDE,
    ),
    (rb'^\s*\{.*"connection-log-type"', "a connection log of AWS Client VPN", BESIDE),
    (
        rb'^\s*\{\s*"(?:' + "|".join(sorted({*COMMANDS, *UNUSED} - {"FlowLogs"})).encode() + rb')"\s*:\s*\[',
        "what the AWS command line lists of an account",
        "it is given with --aws",
    ),
    (rb'^\s*\{.*"AwsCloudTrailInsight"', "CloudTrail Insights events", "they count calls, and are about no connection"),
    (rb"^ts,te,td,sa,da,", "CSV of nfdump", NO_WAY),
    (rb'^\s*\{.*"(?:firstPacket|lastPacket)"', "sessions of Arkime", "its captures are given as they are"),
    (rb"^IP Protocol, ?Start Time", "sessions of Arkime", "its captures are given as they are"),
)


# Forms of logs that are known, and not read in them: what is in a folder in one of these is missed.
UNREAD_FORMS = (
    (
        rb"^(?:---\s*\n)?(?:- )?(?:events|Events|Records|logEvents|messages|results|FlowLogs|eventVersion|message|ingestionTime|timestamp): ?.*\n",
        "YAML",
        "write it as JSON: aws has --output json",
    ),
    (rb"^-{5,}\s*\n\|", "a table as it is drawn", "write it as JSON: aws has --output json"),
    (
        rb"^(?=[^\n]*Event name)(?=[^\n]*Event time)[^\n]*,",
        "the event history as CloudTrail's console writes it to CSV",
        "it lacks the server's name: download it as JSON, or take aws cloudtrail lookup-events",
    ),
)
FORMS = tuple((words, why) for _, words, why in UNREAD_FORMS)
NO_LOG = ("no log that is known", "no address is in it")
PROSE = re.compile(r"(?:readme|license|notice|changelog|manifest)\b", re.IGNORECASE)  # how files about others are named
ADDRESS = rb"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|(?<![0-9a-f:])[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){3,7}(?![0-9a-f:])"


def is_evidence(path: Path, head: bytes) -> bool:
    """Whether a file that is no known log looks like one all the same: it has addresses, or is no text."""
    if PROSE.match(path.name) is not None:
        return False
    return b"\0" in head or re.search(ADDRESS, head) is not None


def named(head: bytes) -> tuple[str, str] | None:
    """What a file is, and why it is no witness; None where that is not known."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return next(
        (
            (words, why)
            for begins, words, why in (*KINDS, *UNREAD_FORMS)
            if re.search(begins, text.partition(b"\n\n")[0], re.DOTALL)
        ),
        None,
    )


def is_beside(path: Path, head: bytes) -> bool:
    """Whether it is a log of Zeek's, or what it prints: most of them say nothing of flows, and lie beside those that do."""
    return path.name in ZEEK_PRINTS or re.search(ZEEK, head.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None


def left_out(zeek: list[Path], others: dict[tuple[str, str], list[Path]]) -> Iterator[str]:
    """What is said of files that are no witness, and lie beside such as are: Zeek's, and those of other kinds in a folder."""
    for path in zeek:
        yield f"{shown(path)}: Zeek's, and not of connections: left out"
    for (what, why), files in others.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        yield f"{shown(files[0])}{more}: {what}, left out: {why}"


def refused(path: Path, head: bytes) -> InputError:
    """What is said of a file that is no witness."""
    known = named(head)
    if known is not None:
        return InputError(f"{shown(path)}: {known[0]}, which is no witness: {known[1]}; known are {KNOWN}")
    return InputError(f"{shown(path)}: not a log that is known: {KNOWN}; {CONVERT}")
