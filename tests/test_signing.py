"""How requests are signed, and which operations they call: forms of signatures as AWS documents them, and hostile ones."""

import struct
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.requests import http, http3, keys, operations, signing

SALT = b"salt"
KEY = "AKIAQ2W3E4R5T6Y7U8I9"
SCOPE = "20261124/us-east-1/mobiletargeting/aws4_request"


def v4(credential: str, headers: str = "host;x-amz-date", signature: str = "a" * 64) -> dict[str, str]:
    text = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={headers}, Signature={signature}"
    return {"authorization": text, "x-amz-date": "20261124T120000Z"}


def test_version_4() -> None:
    """A signature's scope, headers, time and kind of key are read; without spaces behind the commas too."""
    told = signing.read(v4(f"{KEY}/{SCOPE}"), "", SALT)
    assert (told.version, told.region, told.service, told.date) == ("4", "us-east-1", "mobiletargeting", "20261124")
    assert (told.key_kind, told.signed_headers, told.has_token) == ("long_term", "host x-amz-date", False)
    assert told.signed_at == 1795521600
    assert told.is_signed
    tight = {**v4(f"{KEY}/{SCOPE}")}
    tight["authorization"] = tight["authorization"].replace(", ", ",")
    assert signing.read(tight, "", SALT) == told
    assert signing.read(v4(f"ASIA{KEY[4:]}/{SCOPE}"), "", SALT).key_kind == "temporary"
    assert signing.read(v4(f"ABIA{KEY[4:]}/{SCOPE}"), "", SALT).key_kind == "other"


def test_headers_of_aws_that_are_not_signed() -> None:
    """Each header x-amz-… that is sent has to be signed; a session token has a word of its own."""
    sent = {
        "x-amz-target": "A.B",
        "x-amz-security-token": "t",
        "x-amzn-trace-id": "i",
        "x-amz-content-sha256": "UNSIGNED",
    }
    assert signing.read({**v4(f"{KEY}/{SCOPE}"), **sent}, "", SALT).unsigned == "x-amz-content-sha256 x-amz-target"
    names = "host;x-amz-content-sha256;x-amz-date;x-amz-target"
    assert signing.read({**v4(f"{KEY}/{SCOPE}", names), **sent}, "", SALT).unsigned is None
    assert signing.read(v4(f"{KEY}/{SCOPE}", "date;host"), "", SALT).unsigned == "x-amz-date"


def test_what_is_not_a_whole_signature() -> None:
    """Without the names of what is signed, the time for which it is good, or the signature itself, AWS takes none."""
    good = v4(f"{KEY}/{SCOPE}")
    assert signing.read(good, "", SALT).is_signed
    nameless = {**good, "authorization": good["authorization"].replace("SignedHeaders=host;x-amz-date, ", "")}
    assert not signing.read(nameless, "", SALT).is_signed
    query = {"Algorithm": "AWS4-HMAC-SHA256", "Credential": f"{KEY}/{SCOPE}", "Date": "20261124T120000Z"}
    query |= {"Expires": "300", "SignedHeaders": "host", "Signature": "a" * 64}

    def presigned(parts: dict[str, str]) -> bool:
        return signing.read({}, "&".join(f"X-Amz-{name}={value}" for name, value in parts.items()), SALT).is_signed

    assert presigned(query)
    assert not any(presigned({name: value for name, value in query.items() if name != lacking}) for lacking in query)
    assert not presigned({**query, "Expires": "soon"})
    for seconds, whole in (("0", False), ("1", True), ("604800", True), ("604801", False)):  # seven days are the most
        assert presigned({**query, "Expires": seconds}) == whole
    for text, whole in ((f"AWS {KEY}:c2ln", True), (f"AWS {KEY}:", False), (f"AWS {KEY}", False)):
        assert signing.read({"authorization": text}, "", SALT).is_signed == whole
    assert signing.read({}, f"AWSAccessKeyId={KEY}&Signature=c2ln", SALT).is_signed
    assert not signing.read({}, f"AWSAccessKeyId={KEY}", SALT).is_signed


def test_session_tokens_of_s3_express() -> None:
    """The token of CreateSession comes in a header of its own, and is signed as any other."""
    sent = {**v4(f"ASIA{KEY[4:]}/{SCOPE}"), "x-amz-s3session-token": "t"}
    told = signing.read(sent, "", SALT)
    assert (told.has_token, told.unsigned) == (True, "x-amz-s3session-token")


def test_version_4a() -> None:
    """Version 4a has no Region in its scope, but a header with a set of them."""
    headers = {
        "authorization": f"AWS4-ECDSA-P256-SHA256 Credential={KEY}/20261124/sts/aws4_request, "
        f"SignedHeaders=host;x-amz-date;x-amz-region-set, Signature={'30' * 70}",
        "x-amz-date": "20261124T120000Z",
        "x-amz-region-set": "us-east-1,us-west-2",
    }
    told = signing.read(headers, "", SALT)
    assert (told.version, told.region, told.service, told.is_signed) == ("4a", "us-east-1", "sts", True)
    assert told.regions == "us-east-1 us-west-2"
    del headers["x-amz-region-set"]
    assert signing.read(headers, "", SALT).wrong == "it names no Region"


@pytest.mark.parametrize(
    ("headers", "query", "version", "wrong"),
    [
        ({"authorization": f"AWS {KEY}:c2lnbmF0dXJl"}, "", "2", None),
        ({}, f"AWSAccessKeyId={KEY}&Signature=abc&SignatureVersion=2", "2", None),
        ({"authorization": f"AWS3-HTTPS AWSAccessKeyId={KEY},Algorithm=HmacSHA256,Signature=abc"}, "", "2", None),
        ({"authorization": "Bearer abc"}, "", "bearer", None),
        ({"authorization": "Basic YTpi"}, "", "basic", None),
        ({}, "", "none", None),
        (v4(f"{KEY}/nonsense"), "", "4", "its credential scope is malformed"),
        (v4("lowercase/20261124/us-east-1/s/aws4_request"), "", "4", "its credential scope is malformed"),
        (v4(f"{KEY}/{SCOPE}", signature="abc"), "", "4", "it has no whole signature"),
        ({"authorization": v4(f"{KEY}/{SCOPE}")["authorization"]}, "", "4", "it has no date"),
        ({**v4(f"{KEY}/{SCOPE}"), "x-amz-date": "yesterday"}, "", "4", "it has no date"),
        ({"authorization": "AWS4-HMAC-SHA512 Credential=x"}, "", "4", "its algorithm is unknown"),
        ({}, f"X-Amz-Credential={KEY}%2F20261124%2Fus-east-1%2Fsts%2Faws4_request", "presigned", "its algorithm is unknown"),
    ],
)  # fmt: skip
def test_other_forms(headers: dict[str, str], query: str, version: str, wrong: str | None) -> None:
    """Version 2, bearer tokens and passwords are told apart, and what AWS could not accept says why."""
    told = signing.read(headers, query, SALT)
    assert (told.version, told.wrong) == (version, wrong)


def test_several_signatures() -> None:
    """Of several signatures AWS takes none, and the same header twice is one."""
    once, query = v4(f"{KEY}/{SCOPE}"), f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={'b' * 64}"
    for value, wrong in (
        (once["authorization"], None),
        ("Bearer abc", "there are several Authorization headers"),
        (v4(f"{KEY[:-1]}0/{SCOPE}")["authorization"], "there are several Authorization headers"),
    ):
        headers = dict(once)
        signing.add_header(headers, "authorization", value)
        assert signing.read(headers, "", SALT).wrong == wrong
    assert signing.read(once, query, SALT).wrong == "it is signed in its headers and in its query"


def test_headers_beside_a_presigned_url() -> None:
    """What is AWS's own among the headers of a presigned request has to be signed as well, as S3 wants it."""
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY}%2F20261124%2Fus-east-1%2Fs3%2Faws4_request"
        f"&X-Amz-Date=20261124T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={'b' * 64}"
    )
    assert signing.read({"x-amz-acl": "public-read"}, query, SALT).unsigned == "x-amz-acl"
    token = signing.read({"x-amz-security-token": "t"}, query, SALT)
    assert (token.unsigned, token.has_token) == ("x-amz-security-token", True)
    assert (
        signing.read({"x-amz-acl": "public-read"}, query.replace("=host", "=host%3Bx-amz-acl"), SALT).unsigned is None
    )


def test_presigned_with_half_a_signature() -> None:
    """A signature in a URL has to be as long as one in a header."""
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY}%2F20261124%2Fus-east-1%2Fsts%2Faws4_request"
        "&X-Amz-Date=20261124T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="
    )
    assert signing.read({}, query + "b" * 64, SALT).is_signed
    for signature in ("", "abc", "B" * 64, "b" * 63):
        assert signing.read({}, query + signature, SALT).wrong == "it has no whole signature"


def test_presigned() -> None:
    """A presigned URL says how long it is good; the token in it is not kept."""
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY}%2F20261124%2Fus-east-1%2Fsts%2Faws4_request"
        f"&X-Amz-Date=20261124T120000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Security-Token=tok"
        f"&X-Amz-Signature={'b' * 64}"
    )
    told = signing.read({}, query, SALT)
    assert (told.version, told.expires, told.has_token, told.service) == ("presigned", 3600, True, "sts")
    assert "tok" not in repr(told).replace("token", "")


@given(st.text(max_size=400), st.text(max_size=400), st.dictionaries(st.text(max_size=20), st.text(max_size=50)))
def test_nothing_hostile_raises(authorization: str, query: str, others: dict[str, str]) -> None:
    """Whatever stands in a header or query, a signature is an answer and never an exception."""
    for start in ("", "AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 Credential=", "AWS ", "Bearer "):
        told = signing.read({**others, "authorization": start + authorization}, "X-Amz-Algorithm=x&" + query, SALT)
        assert told.version in ("4", "4a", "2", "presigned", "bearer", "basic", "none")


SECRET = "Zz9SECRETzZ"


@given(st.sampled_from(["Credential", "SignedHeaders", "Signature"]), st.booleans())
def test_secrets_in_odd_places_go_nowhere(part: str, in_header: bool) -> None:
    """A secret put where it does not belong leaves in no field."""
    headers = v4(f"{KEY}/{SCOPE}")
    headers["authorization"] = headers["authorization"].replace(f"{part}=", f"{part}={SECRET} ")
    headers["x-amz-security-token"] = SECRET
    headers["cookie" if in_header else "x-other"] = SECRET
    made = http.request(1, 1, "GET", f"/v1/apps/{SECRET}?q={SECRET}", headers, scheme="https", salt=SALT)
    assert SECRET.lower() not in str(made.out()).lower()


def test_operations_by_path_target_and_action() -> None:
    """The most literal template wins; a path of one service says nothing at another's host."""
    told = operations.operation("pinpoint.us-east-1.amazonaws.com", "GET", "/v1/apps/a/segments/b/versions", None, None)
    assert told is not None
    assert (told.name, told.signing_name) == ("GetSegmentVersions", "mobiletargeting")
    assert operations.operation("sts.us-east-1.amazonaws.com", "GET", "/v1/apps", None, None) is None
    query = operations.operation("sts.amazonaws.com", "POST", "/", None, "AssumeRoleWithWebIdentity")
    assert query is not None
    assert not query.is_signed
    assert operations.operation("s3.amazonaws.com", "GET", "/v1/apps", None, None) is None


@pytest.mark.parametrize(
    ("host", "method", "path", "target"),
    [
        ("cognito-identity.us-east-1.amazonaws.com", "POST", "/", "AWSCognitoIdentityService.GetId"),
        ("cognito-idp.eu-west-1.amazonaws.com", "POST", "/", "AWSCognitoIdentityProviderService.InitiateAuth"),
        ("portal.sso.us-east-1.amazonaws.com", "GET", "/federation/credentials", None),
        ("oidc.us-east-1.amazonaws.com", "POST", "/device_authorization", None),
    ],
)
def test_operations_that_get_credentials_need_none(host: str, method: str, path: str, target: str | None) -> None:
    """What a client calls to get its first credentials is meant to be unsigned, and says nothing of its service's scope."""
    told = operations.operation(host, method, path, target, None)
    assert told is not None
    assert not told.is_signed
    assert operations.signing_names()[told.service] == frozenset()
    assert operations.operation(host, method, path + "x", target and target + "x", None) is None
    assert operations.operation("login.example.com", method, path, target, None) is None


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/users/12345/orders", "/users/{id}/orders"),
        ("/v2/email/a@example.com", "/v2/email/{id}"),
        ("/a/550e8400-e29b-41d4-a716-446655440000", "/a/{id}"),
        ("/%2B12065550142/x", "/{id}/x"),
        ("/us-east-1_AbC123xyz/.well-known/jwks.json", "/{id}/.well-known/jwks.json"),
        ("/" + "/".join("abcdefghijklmnopqrstuvwxyz"[k] for k in range(20)), "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/…"),
    ],
)
def test_paths_without_identifiers(path: str, kept: str) -> None:
    """What may name somebody or something is replaced."""
    assert operations.template(path) == kept


@given(st.binary(min_size=1, max_size=600), st.integers(1, 7), st.randoms(use_true_random=False))
def test_http3_streams_in_any_order(data: bytes, size: int, random: Any) -> None:
    """Pieces of a stream in any order, twice or overlapping, give the same bytes; hostile ones raise nothing."""
    pieces = [(at, data[at : at + size + 3]) for at in range(0, len(data), size)]
    random.shuffle(pieces)
    stream = http3.Stream()
    for offset, piece in [*pieces, *pieces[:2]]:
        stream.add(offset, piece)
    assert (bytes(stream.data), stream.read) == (data, len(data))
    stream.frames()
    streams = http3.Streams()
    for number in (0, 2, 3):
        for offset, piece in pieces:
            streams.take(1, True, number, offset, piece)


VALUE = b"v" * 60_000
# To the encoder's stream (RFC 9204 4.3): a capacity of 64 KiB, and one field x with such a value.
INSTRUCTIONS = b"\2" + b"\x3f\xe1\xff\x03" + b"\x41x" + b"\x7f\xe1\xd3\x03" + VALUE


def section(fields: bytes) -> bytes:
    """A HEADERS frame with a field section that needs the one field inserted (RFC 9204 4.5.1)."""
    return b"\1" + struct.pack(">I", 0x8000_0000 + 2 + len(fields)) + b"\2\0" + fields


def test_fields_of_http3_that_unpack_to_more_than_came() -> None:
    """One byte stands for a field of 60,000: requests with hundreds of it are not unpacked, connections with many are given up."""
    streams = http3.Streams()
    for at in range(0, len(INSTRUCTIONS), 1000):
        streams.take(1, True, 2, at, INSTRUCTIONS[at : at + 1000])
    assert streams.take(1, True, 0, 0, section(b"\x80" * 100_000)) == []
    assert streams.partial == {1: http3.LARGE}
    streams.partial.clear()
    assert streams.take(1, True, 4, 0, section(b"\x80\xd1")) == [(4, {"x": VALUE.decode(), ":method": "GET"})]
    many = [streams.take(1, True, 4 * k, 0, section(b"\x80" * 200)) for k in range(2, 40)]
    assert [bool(found) for found in (many[0], many[-1])] == [True, False]
    assert streams.partial == {1: http3.LARGE}


@pytest.mark.parametrize(
    "pieces",
    [
        [(2 + 2 * k, b"x") for k in range(30_000)],
        [(k, b"x") for k in range(30_000, -1, -1)],
    ],
    ids=["gaps", "backwards"],
)
def test_what_pieces_of_http3_cost(pieces: list[tuple[int, bytes]]) -> None:
    """What a piece costs does not grow with how many there are."""
    began, stream = time.process_time(), http3.Stream()
    for offset, piece in pieces:
        stream.add(offset, piece)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("block", "count"),
    [
        (b"\0\0\xd1\xd7", 2),
        (b"\0\0\x5f\x50\3abc\x23abc\2de\x10\x07\1f", 4),
        (b"\xff\x80\x01\x7f\x00\xff\x80\x80\x01", 1),
        (b"\0\0\x50\x7f\x80\x01", 1),
    ],
)
def test_fields_are_counted_without_unpacking_them(block: bytes, count: int) -> None:
    """Field lines of each form, and integers of several bytes (RFC 9204 4.5, RFC 7541 5.1)."""
    assert http3.lines(block) == count


def test_key_logs_grow(tmp_path: Path) -> None:
    """What is written to a key log later is taken in, also the rest of a line that was half written."""
    line = f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n"
    other = line.replace("ab", "ef")
    path = tmp_path / "keys.log"
    path.write_text("# by a client\n" + line + other[:40])
    told = keys.read([path])
    assert len(told.by_random) == 1
    with path.open("a") as file:
        file.write(other[40:])
    told.grow()
    assert len(told.by_random) == 2
    told.grow()
    assert len(told.by_random) == 2
    later = keys.read([tmp_path / "later.log"], may_come=True)
    (tmp_path / "later.log").write_text(line)
    later.grow()
    assert bool(later)
    high, low = int("ab" * 8, 16), int("ab" * 8, 16)
    assert later.text([(high, low)]).decode() == line
    assert later.text([(high, 1)]) == b""
