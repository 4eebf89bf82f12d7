"""The checks of requests: signed or not, by what, for what, and how long.

A flow gets the worst verdict of its requests; the reason names the first that has it, and its frame.
"""

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from auditor.aws.names import host_of
from auditor.border.words import agreed
from auditor.policy.check import NOT_APPLICABLE, NOT_OBSERVABLE, PASS, CheckResult, check, is_given, unmet
from auditor.policy.encryption import UNKNOWN_BYTES, encrypts
from auditor.policy.facts import NO, Facts
from auditor.requests.operations import fitting_names
from auditor.tables.columns import is_one_of

# How the names of services begin that take bearer tokens besides signatures, or in their place: API keys (IAM User
# Guide), tokens of IAM Identity Center and of CodeCatalyst, and what customers put behind their own endpoints.
TAKE_BEARER_TOKENS = (
    *(
        "bedrock",
        "codecatalyst",
        "codewhisperer",
        "agent-registry",
        "account-access",
        "sso",
        "portal",
        "oidc",
        "identitystore",
        "cognito",
    ),
    *("execute-api", "appsync", "lambda-url", "vpc-lattice", "logs", "codeartifact", "oauth", "signin", "console"),
)
# Hosts that need no signature: AWS IoT knows its things by their certificates, registries of images and packages and CodeCommit
# take passwords, and of the APIs of customers (API Gateway, AppSync) each owner says what they ask for. S3's websites are open.
NEED_NO_SIGNATURE = re.compile(
    r"\.iot(-fips)?\.|\.dkr[.-]ecr(-fips)?\.|\.d\.codeartifact\.|^git-codecommit|\.execute-api\.|\.appsync(-realtime)?-api\."
)
S3_WEBSITE = re.compile(
    r"\.s3-website[-.][a-z0-9-]+\.amazonaws\.[a-z.]+$"
)  # at the end: before it is the bucket's name
SESSION_TOKENS = {"x-amz-security-token", "x-amz-s3session-token"}  # of AWS STS, and of S3 Express One Zone
LOG_IN = "a log-in"  # how the fact ``spoken_before`` begins where credentials were sent
SIGNED = ("4", "4a", "2", "presigned", "form")
Row = dict[str, Any]
Judged = tuple[int, str] | None


def _each(facts: Facts, judge: Callable[[Row], Judged], good: str) -> CheckResult:
    """Verdicts by ``judge``, which says (verdict, reason) of a request, or None where the rule is not about it.

    Flows whose requests are not seen are left to ``signed_requests``, which says why: once, not for every rule.
    """
    answer = CheckResult.of(facts, NOT_APPLICABLE, "no requests were seen")
    for at in np.flatnonzero(facts.requests != None).tolist():  # noqa: E711
        judged = [(row, outcome) for row in facts.requests[at] if (outcome := judge(row)) is not None]
        worst = max((outcome[0] for _, outcome in judged), default=NOT_APPLICABLE)
        same = [(row, outcome[1]) for row, outcome in judged if outcome[0] == worst]
        answer.verdict[at] = worst
        if worst == NOT_APPLICABLE:
            answer.reason[at] = "no request that the rule is about"
        elif worst == PASS:
            answer.reason[at] = f"{good} ({len(same)} {agreed(len(same), 'request')})"
        else:
            row, reason = same[0]
            more = f", and {len(same) - 1} more like it" if len(same) > 1 else ""
            answer.reason[at] = f"{_named(row)}: {reason} (frame {row['where']}{more})"
    answer.put((answer.verdict == PASS) & _is_partial(facts), NOT_OBSERVABLE, facts.requests_reason)
    return answer


def _is_partial(facts: Facts) -> np.ndarray[Any, Any]:
    """Flows some of whose requests were read, and perhaps not all."""
    partial: np.ndarray[Any, Any] = (facts.requests != None) & (facts.requests_reason != None)  # noqa: E711
    return partial


def _named(row: Row) -> str:
    return str(row["api"] or f"{row['method']} {row['path_template'] or ''}".strip())


def _is_api(row: Row) -> bool:
    """Whether a request is to an AWS service that wants it signed."""
    return row["scheme"] != "smtp" and row["method"] != "CONNECT" and (row["is_aws"] or row["api"] is not None)


def _needs_none(row: Row) -> bool:
    """Whether a request without a signature is as it has to be, or may be.

    Browsers ask with OPTIONS whether they may ask, without credentials (Fetch standard, 4.8); what is under /.well-known
    is for everybody (RFC 8615).
    """
    host = host_of(row["authority"]).lower()
    if row["method"] == "OPTIONS" or row["service"] == "s3":
        return row["method"] == "OPTIONS" or S3_WEBSITE.search(host) is not None
    return "/.well-known/" in f"{row['path_template'] or ''}/" or NEED_NO_SIGNATURE.search(host) is not None


@check()
def signed_requests(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Requests to AWS services carry a whole signature. It is not verified: that needs the secret key."""

    def judge(row: Row) -> Judged:
        if not _is_api(row) or row["signed_api"] is False:
            return None
        if row["signed"]:
            return PASS, ""
        if row["wrong"] is not None:
            return unmet(required), f"signed, but {row['wrong']}"
        if _needs_none(row):
            return None
        if row["signature_version"] == "bearer":
            if row["service"] is None or row["service"].startswith(TAKE_BEARER_TOKENS):
                return None
            return unmet(required), f"a bearer token, which {row['service']} does not take"
        return unmet(required), "not signed"

    answer = _each(facts, judge, "signed")
    behind = facts.renegotiated & (answer.verdict == PASS)
    answer.put(behind, NOT_OBSERVABLE, "signed as far as seen; requests behind a renegotiation may be under other keys")
    answer.put((answer.verdict == NOT_APPLICABLE) & _is_partial(facts), NOT_OBSERVABLE, facts.requests_reason)
    unseen = (facts.requests == None) & (facts.requests_reason != None)  # noqa: E711
    answer.put(unseen, NOT_OBSERVABLE, facts.requests_reason)
    for shown, words in _not_inside_tls(facts):
        answer.put(unseen & facts.has_handshake & shown, NOT_OBSERVABLE, words)
    return answer


def _not_inside_tls(facts: Facts) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
    """Where a handshake protects no requests, and why: no keys would show them."""
    yield facts.established == NO, "the TLS handshake did not come to its end"
    null = np.array([encrypts(suite) is False for suite in facts.suite.tolist()], bool)
    yield null, "the suite does not encrypt, and no HTTP request was read in it"
    spoken = is_given(facts.answered_with) & ~is_one_of(facts.answered_with, UNKNOWN_BYTES)
    yield spoken, "the ClientHello was answered without TLS, and no HTTP request was read in it"


@check()
def signature_version(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Signature Version 4 or 4a; Version 2 is obsolete."""

    def judge(row: Row) -> Judged:
        if row["signature_version"] not in SIGNED:
            return None
        return (unmet(required), "Signature Version 2") if row["signature_version"] == "2" else (PASS, "")

    return _each(facts, judge, "Signature Version 4")


@check()
def signed_headers(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Host and, in headers, the date and what is AWS's own (x-amz-…) are among what is signed."""

    def judge(row: Row) -> Judged:
        if row["signature_version"] not in ("4", "4a", "presigned"):
            return None
        names = set((row["signed_headers"] or "").split())
        lacking = [] if names & {"host", ":authority"} else ["host"]
        if row["signature_version"] != "presigned" and not names & {"x-amz-date", "date"}:
            lacking.append("date")
        if row["signature_version"] != "presigned" and row["token_present"] and not names & SESSION_TOKENS:
            lacking.append("session token")
        lacking += (row["unsigned"] or "").split()
        return (unmet(required), f"{' and '.join(lacking)} not signed") if lacking else (PASS, "")

    return _each(facts, judge, "host and date are signed")


@check()
def signature_scope(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The scope's Region and service are those of the endpoint."""

    def judge(row: Row) -> Judged:
        if row["signature_version"] not in ("4", "4a", "presigned", "form") or row["scope_service"] is None:
            return None
        wrong = []
        if allowed := fitting_names(row["service"], row["scope_service"]):
            wrong.append(f"signed for {row['scope_service']}, the endpoint is of {' or '.join(sorted(allowed))}")
        where, region = row["region"], row["scope_region"]
        named = (row["scope_regions"] or region or "").split()  # Version 4a names several, with wildcards
        if (
            row["is_aws"]
            and where
            and named
            and not any(fnmatchcase(where, one) for one in named)
            and where != "GLOBAL"
        ):
            wrong.append(f"signed for {region}, the endpoint is in {where}")
        return (unmet(required), "; ".join(wrong)) if wrong else (PASS, "")

    return _each(facts, judge, "the scope fits the endpoint")


@check("seconds")
def signature_clock(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """The time of signing is within ``seconds`` of the capture's clock."""
    most = float(parameters.get("seconds", 300))

    def judge(row: Row) -> Judged:
        if row["clock_skew_s"] is None or row["signature_version"] in ("presigned", "form"):  # signed before
            return None
        ahead = row["clock_skew_s"]
        if abs(ahead) > most:
            which = "ahead of" if ahead > 0 else "behind"
            return unmet(required), f"signed {abs(ahead):.0f} s {which} the capture's clock"
        return PASS, ""

    return _each(facts, judge, "the clocks agree")


@check()
def session_token(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Temporary keys come with a session token, long-term ones without."""

    def judge(row: Row) -> Judged:
        if row["signature_version"] not in SIGNED or row["credential_kind"] not in ("temporary", "long_term"):
            return None
        if row["credential_kind"] == "temporary" and not row["token_present"]:
            return unmet(required), "a temporary access key without its session token"
        if row["credential_kind"] == "long_term" and row["token_present"]:
            return unmet(required), "a long-term access key with a session token"
        return PASS, ""

    return _each(facts, judge, "key and token fit")


@check()
def temporary_credentials(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Requests are signed with temporary credentials (AWS STS)."""

    def judge(row: Row) -> Judged:
        if row["signature_version"] not in SIGNED or row["credential_kind"] is None:
            return None
        if row["credential_kind"] == "long_term":
            return unmet(required), "a long-term access key"
        return PASS, ""

    return _each(facts, judge, "temporary credentials")


@check("seconds")
def presigned_lifetime(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """A presigned URL is good for at most ``seconds``, and was used within its time."""
    most = int(parameters.get("seconds", 3600))

    def judge(row: Row) -> Judged:
        if row["signature_version"] != "presigned":
            return None
        if row["expires_s"] is None:
            return unmet(required), "a presigned URL that does not say how long it is good"
        if row["expires_s"] > most:
            return unmet(required), f"a presigned URL that is good for {row['expires_s']} s; {most} s is the most"
        if row["clock_skew_s"] is not None and -row["clock_skew_s"] > row["expires_s"]:
            return unmet(
                required
            ), f"a presigned URL used {-row['clock_skew_s'] - row['expires_s']:.0f} s after its end"
        return PASS, ""

    return _each(facts, judge, "presigned for a short time")


@check()
def credentials_in_clear(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """No credentials go over the wire in clear: a signature can be used again by whoever sees it, for minutes."""

    def judge(row: Row) -> Judged:
        if row["scheme"] != "http" or row["signature_version"] == "none":
            return (PASS, "") if row["scheme"] == "https" and row["signature_version"] != "none" else None
        return unmet(required), "credentials in clear"

    return _each(facts, judge, "credentials inside TLS")


@check()
def mail_credentials(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """SMTP credentials are sent only after STARTTLS."""

    def judge(row: Row) -> Judged:
        return (unmet(required), f"SMTP {row['api']} before STARTTLS") if row["scheme"] == "smtp" else None

    answer = _each(facts, judge, "inside TLS")
    mail = facts.service == "ses-smtp"
    answer.put(~mail, NOT_APPLICABLE, "no mail endpoint")
    seen = mail & (facts.requests == None) & facts.is_tls  # noqa: E711
    answer.put(seen, PASS, "no AUTH before TLS")
    early = np.array([text is not None and text.startswith(LOG_IN) for text in facts.spoken_before.tolist()], bool)
    answer.put(mail & early & (answer.verdict != unmet(required)), unmet(required), "a log-in before STARTTLS")
    return answer


@check("count")
def signature_refusals(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """Fewer than ``count`` refusals of signatures or tokens within five minutes, for a client and server."""
    most = int(parameters.get("count", 5))

    def judge(row: Row) -> Judged:
        if row["status"] is None:
            return None
        if "refusals" not in row or (times := row["refusals"].most()) < most:
            return PASS, ""
        return unmet(
            required
        ), f"{row['error_code']}: {times} {agreed(times, 'refusal')} of this client within five minutes"

    return _each(facts, judge, "no burst of refusals")


@check("clients")
def key_sharing(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """An access key is used from at most ``clients`` addresses."""
    most = int(parameters.get("clients", 3))

    def judge(row: Row) -> Judged:
        if "use" not in row:
            return None
        clients = len(row["use"].clients)
        if clients > most:
            return unmet(required), f"an access key is used from {clients} {agreed(clients, 'address', 'addresses')}"
        return PASS, ""

    return _each(facts, judge, "the key is used from few addresses")


@check()
def key_paths(facts: Facts, required: bool, parameters: dict[str, Any]) -> CheckResult:
    """An access key that is used over a private path is not used over the internet too."""
    private = {"direct-connect", "vpn", "vpc"}

    def judge(row: Row) -> Judged:
        if "use" not in row:
            return None
        paths = row["use"].paths
        if "internet" in paths and paths & private:
            ways = ", ".join(sorted(paths & private))
            return unmet(required), f"an access key is used over {ways} and over the internet"
        return PASS, ""

    return _each(facts, judge, "the key keeps to one kind of path")
