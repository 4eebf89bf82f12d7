"""How a request is signed: AWS Signature Version 4, 4a and 2, in headers, in a presigned URL, or in a form that uploads to S3.

Sources: IAM User Guide, Elements of an AWS API request signature, and Unique identifiers (prefixes of access keys);
Amazon S3 API Reference, Authenticating Requests in Browser-Based Uploads Using POST.
What is secret (signatures, tokens, the rest of the query) goes into nothing that is returned.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from auditor.border import gate
from auditor.border.words import counted, is_number
from auditor.errors import InputError, shown

V4 = "4"
V4A = "4a"
V2 = "2"
PRESIGNED = "presigned"
FORM = "form"
BEARER = "bearer"
BASIC = "basic"
NONE = "none"
ANOTHER = "\n"  # between the values of several Authorization headers

WEEK = 604_800  # seconds: the most for a presigned URL (Amazon S3 API Reference, Authenticating Requests: Using Query Parameters)
SALT_BYTES = 32
MOST_SECRET = 1 << 16  # bytes of a file

# What a whole signature looks like: 32 bytes of HMAC-SHA256, or ECDSA's two numbers in DER.
_WHOLE = {V4: re.compile(r"[0-9a-f]{64}"), V4A: re.compile(r"[0-9a-f]{100,160}")}
_CUT = "it has no whole signature"
_ALGORITHMS = {"AWS4-HMAC-SHA256": V4, "AWS4-ECDSA-P256-SHA256": V4A}
_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
# Where a session token is: of AWS STS, and of CreateSession of S3 Express One Zone.
_TOKENS = "x-amz-security-token", "x-amz-s3session-token"
_KINDS = {"AKIA": "long_term", "ASIA": "temporary"}
_DATES = ("%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%SZ", "%a, %d %b %Y %H:%M:%S GMT")


class Signature(NamedTuple):
    """What a request's signature says, nothing secret: ``key`` is a keyed hash of the access key id."""

    version: str = NONE
    key_kind: str | None = None
    key: str | None = None
    date: str | None = None
    region: str | None = None
    regions: str | None = None  # all that Version 4a names, with spaces between
    service: str | None = None
    signed_headers: str | None = None
    unsigned: str | None = None  # headers x-amz-… sent and not signed, but for the token of what headers sign
    has_token: bool | None = None
    signed_at: float | None = None  # seconds since 1970
    expires: int | None = None  # seconds
    wrong: str | None = None  # why it is not a signature that AWS could accept

    @property
    def is_signed(self) -> bool:
        return self.version in (V4, V4A, V2, PRESIGNED, FORM) and self.wrong is None


def new_salt() -> bytes:
    """A salt for one audit. It is in no result, so nobody can try a list of access key ids on what stands for them."""
    return os.urandom(SALT_BYTES)


def joining_salt(path: Path) -> bytes:
    """The salt that a secret file gives: audits with the same one can be joined by their access keys. Raises InputError."""
    try:
        with gate.opened(path) as file:  # neither a pipe that nobody writes to, nor a device
            secret = file.read(MOST_SECRET) or b""
    except OSError as error:
        raise InputError(f"{shown(path)}: {error.strerror}") from error
    except gate.RefusedError as error:
        raise InputError(f"{shown(path)}: {error}") from error
    if len(secret) < SALT_BYTES:
        raise InputError(
            f"{shown(path)}: holds {counted(len(secret), 'byte')}, too few for a secret: head -c {SALT_BYTES} /dev/urandom > FILE makes one"
        )
    return hashlib.sha256(b"access keys" + secret).digest()


def key_kind(key_id: str) -> str:
    """Whether an access key id is of a long-term or temporary key, by its prefix."""
    return _KINDS.get(key_id[:4], "other")


def hashed(key_id: str, salt: bytes) -> str:
    """What stands for an access key id in results: equal ids are seen to be equal, the id itself is not."""
    return hmac.new(salt, key_id.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:12]


def _seconds(text: str | None) -> float | None:
    for form in _DATES:
        try:
            return datetime.strptime(text or "", form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None


def _credential(scope: str, version: str, salt: bytes) -> dict[str, Any]:
    """Credential=ID/date/region/service/aws4_request; Signature Version 4a has no Region there."""
    parts = scope.split("/")
    wanted = 4 if version == V4A else 5
    if len(parts) < wanted or parts[-1] != "aws4_request" or not _KEY_ID.fullmatch(parts[0]):
        return {"wrong": "its credential scope is malformed"}
    region = parts[2] if wanted == 5 else None
    return {
        "key_kind": key_kind(parts[0]),
        "key": hashed(parts[0], salt),
        "date": parts[1][:8] if is_number(parts[1][:8]) else None,
        "region": region and _plain(region),
        "service": _plain(parts[-2]),
        "wrong": None if re.fullmatch(r"[0-9]{8}", parts[1]) else "its credential scope has no date",
    }


def _region_set(text: str) -> dict[str, str | None]:
    """The Regions for which Version 4a signs, and the first of them."""
    names = [name for one in text.split(",") if (name := _plain(one.strip())) is not None][:64]
    return {"region": names[0] if names else None, "regions": " ".join(names) or None}


def _plain(text: str) -> str | None:
    """A name from a scope or header list if it is one: nothing else from there is kept."""
    return text if re.fullmatch(r"[A-Za-z0-9._*-]{1,64}", text) else None


def _headers(text: str | None) -> str | None:
    """The names of signed headers, lower case, in order; None where there are none that could be."""
    names = [name for name in (text or "").lower().split(";") if re.fullmatch(r"[a-z0-9_.-]{1,128}", name)]
    return " ".join(names[:64]) or None


def _unsigned(headers: Mapping[str, str], signed: str | None, but: str | None = None) -> str | None:
    """The headers of AWS's own that are sent and not signed: all have to be (IAM User Guide, canonical headers)."""
    names = {name for name in headers if name.startswith("x-amz-") and name != but}
    return _headers(";".join(sorted(names - set((signed or "").split()))))


def read(
    headers: Mapping[str, str],
    query: str,
    salt: bytes,
    form: Mapping[str, str] | None = None,
    upload: Mapping[str, str] | None = None,
) -> Signature:
    """The signature of a request with these headers (names in lower case), this query string and form.

    ``upload``: the fields, names in lower case, of a form that uploads to S3, which sign its policy.
    Of several signatures AWS takes none: neither of two Authorization headers, nor of one beside a presigned URL.
    """
    authorization, *others = headers.get("authorization", "").strip().split(ANOTHER)
    signature = _read(authorization, headers, query, salt, form or {}, upload)
    if others and signature.version != NONE:
        return signature._replace(wrong="there are several Authorization headers")
    if signature.version in _ALGORITHMS.values() and "x-amz-signature" in _query(query):
        return signature._replace(wrong="it is signed in its headers and in its query")
    return signature


def add_header(headers: dict[str, str], name: str, value: str) -> None:
    """Take in a header: of several with one name the first, but each Authorization, of which there may be one (RFC 9110 5.3)."""
    if name == "authorization" and headers.get(name, value) != value:
        headers[name] += ANOTHER + value
    else:
        headers.setdefault(name, value)


def _read(
    authorization: str,
    headers: Mapping[str, str],
    query: str,
    salt: bytes,
    form: Mapping[str, str],
    upload: Mapping[str, str] | None,
) -> Signature:
    word, _, rest = authorization.partition(" ")
    if word in _ALGORITHMS:
        return _version_4(_ALGORITHMS[word], rest, headers, salt)
    if word.startswith("AWS4-"):
        return Signature(V4, wrong="its algorithm is unknown")
    if word == "AWS" or word.startswith("AWS3"):
        key_id = re.search(r"AWSAccessKeyId=([^,]+)", rest)
        signed = _version_2(key_id[1] if key_id else rest.partition(":")[0], headers, salt)
        return signed if re.search(r"Signature=[^,]|^[^:,=]+:.", rest) else signed._replace(wrong=_CUT)
    parameters = _query(query) | {name.lower(): value for name, value in form.items()}
    if "x-amz-algorithm" in parameters or "x-amz-credential" in parameters:
        return _presigned(parameters, headers, salt)
    if "awsaccesskeyid" in parameters:
        signed = _version_2(parameters["awsaccesskeyid"], headers, salt, parameters)
        return signed if parameters.get("signature") else signed._replace(wrong=_CUT)
    if upload and "policy" in upload:
        return _upload(upload, headers, salt)
    if word.lower() == "bearer":
        return Signature(BEARER, key_kind="other")
    if word.lower() == "basic":
        return Signature(BASIC, key_kind="other")
    return Signature()


def _query(query: str) -> dict[str, str]:
    try:
        return {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=1000)}
    except ValueError:
        return {}


def _version_4(version: str, rest: str, headers: Mapping[str, str], salt: bytes) -> Signature:
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    scope = _credential(parts.get("Credential", ""), version, salt)
    wrong = scope.pop("wrong")
    if not _WHOLE[version].fullmatch(parts.get("Signature", "")):
        wrong = wrong or _CUT
    signed_at = _seconds(headers.get("x-amz-date") or headers.get("date"))
    wrong = wrong or _other_day(scope.get("date"), signed_at)
    if version == V4A:
        scope |= _region_set(headers.get("x-amz-region-set", ""))
        wrong = wrong or (None if scope["region"] else "it names no Region")
    names = _headers(parts.get("SignedHeaders"))
    wrong = wrong or (None if names else "it does not say what it signs")
    return Signature(
        version,
        **scope,
        signed_headers=names,
        unsigned=_unsigned(headers, names, but=_TOKENS[0]),
        has_token=any(name in headers for name in _TOKENS),
        signed_at=signed_at,
        wrong=wrong,
    )


def _other_day(scope: str | None, signed_at: float | None) -> str | None:
    """What is wrong where there is no time of signing, or the scope's day is not its: AWS refuses such a signature."""
    if signed_at is None:
        return "it has no date"
    if scope is None or datetime.fromtimestamp(signed_at, UTC).strftime("%Y%m%d") == scope:
        return None
    return "the day of its credential scope is not that of its date"


def _presigned(parameters: Mapping[str, str], headers: Mapping[str, str], salt: bytes) -> Signature:
    version = _ALGORITHMS.get(parameters.get("x-amz-algorithm", ""))
    scope = _credential(parameters.get("x-amz-credential", ""), version or V4, salt)
    wrong = scope.pop("wrong")
    if version is None:
        wrong = "its algorithm is unknown"
    if version == V4A:
        scope |= _region_set(parameters.get("x-amz-region-set", ""))
        wrong = wrong or (None if scope["region"] else "it names no Region")
    if not _WHOLE[version or V4].fullmatch(parameters.get("x-amz-signature", "")):
        wrong = wrong or _CUT
    expires, signed_at = parameters.get("x-amz-expires", ""), _seconds(parameters.get("x-amz-date"))
    wrong = wrong or _other_day(scope.get("date"), signed_at)
    names = _headers(parameters.get("x-amz-signedheaders"))
    if not re.fullmatch(r"\d{1,9}", expires) or not names:
        wrong = wrong or "it does not say what it signs, and for how long"
    elif not 1 <= int(expires) <= WEEK:
        wrong = wrong or f"no signature is good for {int(expires)} s: from 1 s to seven days may be asked for"
    return Signature(
        PRESIGNED,
        **scope,
        signed_headers=names,
        unsigned=_unsigned(headers, names),
        has_token=any(name in parameters or name in headers for name in _TOKENS),
        signed_at=signed_at,
        expires=int(expires) if re.fullmatch(r"\d{1,9}", expires) else None,
        wrong=wrong,
    )


def _upload(fields: Mapping[str, str], headers: Mapping[str, str], salt: bytes) -> Signature:
    """The signature of a form: over its policy, which says for what and until when it may be used."""
    if "x-amz-algorithm" not in fields:
        key_id = fields.get("awsaccesskeyid", "")
        if not key_id:
            return Signature()
        signed = _version_2(key_id, headers, salt, fields)
        return signed if fields.get("signature") else signed._replace(wrong=_CUT)
    version = _ALGORITHMS.get(fields["x-amz-algorithm"])
    scope = _credential(fields.get("x-amz-credential", ""), version or V4, salt)
    wrong = scope.pop("wrong") if version is not None else "its algorithm is unknown"
    if not fields["policy"]:
        wrong = wrong or "its policy is empty"
    if not _WHOLE[version or V4].fullmatch(fields.get("x-amz-signature", "")):
        wrong = wrong or _CUT
    signed_at = _seconds(fields.get("x-amz-date"))
    return Signature(
        FORM,
        **{name: value for name, value in scope.items() if name != "wrong"},
        has_token=_TOKENS[0] in fields,
        signed_at=signed_at,
        wrong=wrong or _other_day(scope.get("date"), signed_at),
    )


def _version_2(
    key_id: str, headers: Mapping[str, str], salt: bytes, parameters: Mapping[str, str] | None = None
) -> Signature:
    known = _KEY_ID.fullmatch(key_id) is not None
    source = parameters if parameters is not None else headers
    return Signature(
        V2,
        key_kind=key_kind(key_id) if known else "other",
        key=hashed(key_id, salt) if known else None,
        has_token="x-amz-security-token" in source or "securitytoken" in source,
        signed_at=_seconds(source.get("timestamp") or source.get("x-amz-date") or headers.get("date")),
    )
