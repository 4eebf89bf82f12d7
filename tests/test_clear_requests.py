"""Requests in clear, written byte by byte: forms that upload to S3, headers in several frames, proxies that refuse."""

import base64
import shutil
from collections.abc import Callable
from typing import Any

import pytest

import auditor
from auditor.requests import upload
from auditor.requests.operations import fitting_names
from tests import wire

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
BUCKET, BUCKETS = "bucket.s3.us-east-1.amazonaws.com", "52.216.1.1"
PINPOINT, ENDPOINT = "pinpoint.us-east-1.amazonaws.com", "52.94.152.9"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
DAY, KEY = "20231114", "AKIAQ2W3E4R5T6Y7U8I9"  # the day of the captures that ``wire.pcap`` writes
POLICY = base64.b64encode(b'{"expiration": "2023-11-14T23:00:00Z", "conditions": []}').decode()
V4 = {
    "key": "a/${filename}",
    "Policy": POLICY,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": f"{KEY}/{DAY}/us-east-1/s3/aws4_request",
    "X-Amz-Date": f"{DAY}T221300Z",
    "X-Amz-Signature": "ab" * 32,
}
V2 = {"key": "a", "AWSAccessKeyId": KEY, "policy": POLICY, "signature": "c2ln"}


def form(fields: dict[str, str], behind: dict[str, str] | None = None) -> bytes:
    """The body of a form with these fields, its file, and fields behind that."""

    def part(name: str, value: str) -> bytes:
        return f'--b0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()

    file = b'--b0\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + bytes(range(256)) + b"\r\n"
    before, after = (b"".join(part(*one) for one in some.items()) for some in (fields, behind or {}))
    return before + file + after + b"--b0--\r\n"


def post(body: bytes, kind: str = "multipart/form-data; boundary=b0") -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: {BUCKET}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def said(run: Callable[..., auditor.Audit], flights: Any, server: str = BUCKETS) -> dict[str, str]:
    """The verdict of each rule on a connection to port 80."""
    told = run(wire.pcap(wire.Talk(dport=80, server=server).open().play(flights).close().packets))
    return {str(row["rule"]): str(row["verdict"]) for row in told.rows("verdicts", "rule", "verdict")}


ASIA = {**V4, "X-Amz-Credential": V4["X-Amz-Credential"].replace("AKIA", "ASIA")}
ELSEWHERE = {**V4, "X-Amz-Credential": V4["X-Amz-Credential"].replace("us-east-1", "eu-west-1")}
OTHER_SERVICE = {**V4, "X-Amz-Credential": V4["X-Amz-Credential"].replace("/s3/", "/sns/")}
FORMS = {
    "another service": (form(OTHER_SERVICE), {"REQ101": "pass", "REQ104": "fail"}),
    "Version 4": (form(V4), {"REQ101": "pass", "REQ102": "pass", "REQ104": "pass", "REQ106": "pass", "REQ109": "fail"}),
    "a token": (form({**ASIA, "x-amz-security-token": "t"}), {"REQ101": "pass", "REQ106": "pass", "REQ107": "pass"}),
    "no token": (form(ASIA), {"REQ106": "fail"}),
    "another Region": (form(ELSEWHERE), {"REQ101": "pass", "REQ104": "fail"}),
    "Version 2": (form(V2), {"REQ101": "pass", "REQ102": "fail"}),
    "Version 2, unsigned": (form({**V2, "signature": ""}), {"REQ101": "fail"}),
    "no policy": (form({name: value for name, value in V4.items() if name != "Policy"}), {"REQ101": "fail"}),
    "no signature": (form({**V4, "X-Amz-Signature": "ab"}), {"REQ101": "fail"}),
    "another day": (form({**V4, "X-Amz-Date": "20231113T221300Z"}), {"REQ101": "fail"}),
    "signed behind the file": (form({"key": "a"}, V4), {"REQ101": "fail"}),
}


@pytest.mark.parametrize("scene", FORMS)
def test_forms_that_upload(audit_bytes: Callable[..., auditor.Audit], scene: str) -> None:
    """A form signs its policy (Amazon S3, POST Object): that counts as a signature, with all that is asked of one."""
    body, expected = FORMS[scene]
    found = said(audit_bytes, [("c", post(body)), ("s", OK)])
    assert {rule: found[rule] for rule in expected} == expected


def test_only_forms_that_upload(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """The same words in a body of another kind sign nothing."""
    body = "&".join(f"{name}={value}" for name, value in V2.items()).encode().replace(b"AWSAccessKeyId", b"id")
    assert said(audit_bytes, [("c", post(body, "application/x-www-form-urlencoded")), ("s", OK)])["REQ101"] == "fail"


def test_fields_of_forms() -> None:
    """Names are compared without case, quoted boundaries are read, other fields and other kinds of bodies are not."""
    body = form({**V4, "x-amz-meta-secret": "no"})
    quoted = upload.fields('Multipart/Form-Data; charset=utf-8; boundary="b0"', body)
    assert quoted == {name.lower(): value for name, value in V4.items() if name != "key"}
    for kind in ("multipart/form-data", "multipart/mixed; boundary=b0", "multipart/form-data; boundary=other", ""):
        assert upload.fields(kind, body) == {}
    assert list(upload.fields("multipart/form-data; boundary=b0", body[:300])) == ["policy", "x-amz-algorithm"]


@pytest.mark.parametrize(
    ("line", "host", "expected"),
    [
        ("GET /index.html", "b.s3-website-us-east-1.amazonaws.com", "not_applicable"),
        ("GET /index.html", "b.s3-website.us-east-2.amazonaws.com", "not_applicable"),
        ("OPTIONS /k", "b.s3.us-east-1.amazonaws.com", "not_applicable"),
        ("GET /p", "a1.execute-api.us-east-1.amazonaws.com", "not_applicable"),
        ("POST /graphql", "x.appsync-api.us-east-1.amazonaws.com", "not_applicable"),
        ("GET /v2/", "123456789012.dkr.ecr.us-east-1.amazonaws.com", "not_applicable"),
        ("POST /topics/a", "a1b2-ats.iot.us-east-1.amazonaws.com", "not_applicable"),
        ("GET /us-east-1_abc/.well-known/jwks.json", "cognito-idp.us-east-1.amazonaws.com", "not_applicable"),
        ("GET /index.html", "b.s3-website-us-east-1.amazonaws.com.s3.us-east-1.amazonaws.com", "fail"),
        ("GET /p", "a.execute-api.s3.us-east-1.amazonaws.com", "fail"),
        ("GET /.well-known/a", "b.s3.us-east-1.amazonaws.com", "fail"),
        ("GET /v1/apps", "pinpoint.us-east-1.amazonaws.com", "fail"),
        ("GET /things", "iot.us-east-1.amazonaws.com", "fail"),
    ],
)
def test_what_needs_no_signature(
    audit_bytes: Callable[..., auditor.Audit], line: str, host: str, expected: str
) -> None:
    """Requests that nobody signs, or whose owner says what is asked for, do not count; a bucket's name makes none of these."""
    request = f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert said(audit_bytes, [("c", request), ("s", OK)])["REQ101"] == expected


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def test_headers_in_several_frames(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """What a CONTINUATION frame carries belongs to the headers before it (RFC 9113 6.10), padding and priority aside."""
    scope = f"{KEY}/{DAY}/us-east-1/mobiletargeting/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'ab' * 32}"
    named = {":method": "GET", ":scheme": "http", ":authority": PINPOINT, ":path": "/v1/apps"}
    named |= {"x-amz-date": f"{DAY}T221300Z", "authorization": signed}

    def text(value: str) -> bytes:  # RFC 7541 5.2, lengths from 127 in a second byte
        size = (
            bytes([len(value)])
            if len(value) < 127
            else bytes([127, (len(value) - 127) | 0x80, (len(value) - 127) >> 7])
        )
        return size + value.encode()

    block = b"".join(b"\0" + text(name) + text(value) for name, value in named.items())
    begun = frame(1, 0x21, 1, bytes(4) + b"\x0f" + block[:60])
    rest = frame(9, 0, 1, block[60:150]) + frame(9, 4, 1, block[150:])
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
    found = said(audit_bytes, [("c", preface + begun + rest), ("s", frame(4, 0, 0, b""))], ENDPOINT)
    assert found["REQ101"] == "pass"


CONNECT = f"CONNECT {PINPOINT}:443 HTTP/1.1\r\nHost: {PINPOINT}:443\r\n\r\n".encode()


def test_a_proxy_that_refuses(audit_bytes: Callable[..., auditor.Audit]) -> None:
    """Where a proxy opens no way to the server nothing went there in clear; what goes by it without a way does."""
    refused = [("c", CONNECT), ("s", b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")]
    plain = [("c", f"GET http://{PINPOINT}/v1/apps HTTP/1.1\r\nHost: {PINPOINT}\r\n\r\n".encode()), ("s", OK)]
    opened = [("c", CONNECT), ("s", b"HTTP/1.1 200 OK\r\n\r\n"), ("c", plain[0][1]), ("s", OK)]
    for flights, expected in ((refused, "not_applicable"), (refused * 2, "not_applicable"), (refused + plain, "fail")):
        assert said(audit_bytes, flights, "10.9.9.9")["NET101"] == expected
    assert said(audit_bytes, opened, "10.9.9.9")["NET101"] == "fail"


def test_names_in_scopes() -> None:
    """A scope that names another service is wrong for every service with a public model; a name that no model has is not judged."""
    right = {
        "s3": "s3express",
        "s3-control": "s3",
        "bedrock-runtime": "bedrock",
        "pinpoint": "mobiletargeting",
        "kms": "kms",
    }
    assert not any(fitting_names(service, name) for service, name in right.items())
    wrong = {"s3": "sns", "kms": "s3", "pinpoint": "pinpoint", "bedrock-runtime": "s3", "ses": "sns"}
    assert all(fitting_names(service, name) for service, name in wrong.items())
    assert not fitting_names("iot", "iotdevicegateway")
    assert not fitting_names("lambda-url", "lambda")
    assert not fitting_names(None, "s3")
