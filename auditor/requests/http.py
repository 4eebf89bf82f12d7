"""What HTTP, SMTP and their answers say, without what is secret in them. Runs in the child process that dissects.

Bodies, cookies, tokens, signatures and queries go no further than the functions of this module.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from auditor.aws.names import host_of
from auditor.requests import operations, signing

MOST_WAITING = 1 << 16  # requests of one flow that wait for their answers
LONGEST_NAME = 260  # a host and a port
_AGENT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,40}/[A-Za-z0-9._+-]{1,40}")
_ERROR = re.compile(r"(?:[A-Za-z0-9_.]+#)?([A-Za-z][A-Za-z0-9.]{1,80})")
_JSON_ERROR = re.compile(rb'"(?:__type|code|Code)"\s*:\s*"([^"]{1,200})"')
_XML_ERROR = re.compile(rb"<Code>([A-Za-z][A-Za-z0-9.]{1,80})</Code>")
_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id")
_METHOD = re.compile(r"[A-Z-]{1,24}")


@dataclass
class Request:
    """One request, as it leaves the child: names of the table ``requests``, and what rules ask besides."""

    flow: int
    packet: int  # number of the packet, within what was cut out, that shows it whole
    method: str | None
    scheme: str
    authority: str | None
    path_template: str | None
    api: str | None = None
    signed_api: bool | None = None  # whether the operation wants to be signed; None for what is not known
    signing_names: list[str] = field(default_factory=list)
    status: int | None = None
    aws_request_id: str | None = None
    error_code: str | None = None
    user_agent_sdk: str | None = None
    signed: bool = False
    signature_version: str = signing.NONE
    wrong: str | None = None
    credential_kind: str | None = None
    credential_hash: str | None = None
    scope_date: str | None = None
    scope_region: str | None = None
    scope_regions: str | None = None
    scope_service: str | None = None
    signed_headers: str | None = None
    unsigned: str | None = None
    token_present: bool | None = None
    signed_at: float | None = None
    expires_s: int | None = None

    def out(self) -> dict[str, Any]:
        return asdict(self)


def _host(text: str) -> str | None:
    """A host and port that could be one; anything else is not passed on."""
    text = text.strip().lower()
    return text if re.fullmatch(r"[a-z0-9._:\[\]*-]+", text) and len(text) <= LONGEST_NAME else None


def agent(text: str) -> str | None:
    """The first product of a User-Agent, which names the SDK."""
    product = _AGENT.match(text)
    return product[0] if product else None


def error_name(text: str) -> str | None:
    """The name of an AWS error in a header or body: ``com.amazon#ThrottlingException:http://…``."""
    match = _ERROR.match(text)
    return match[1] if match else None


def request(
    flow: int,
    packet: int,
    method: str,
    target: str,
    headers: dict[str, str],
    *,
    scheme: str,
    salt: bytes,
    form: Mapping[str, str] | None = None,
    upload: Mapping[str, str] | None = None,
) -> Request:
    """A request: ``target`` as the request line or :path has it, names of ``headers`` in lower case.

    ``form`` is what a form in its body says of operation and signature (AWS query protocol), ``upload`` how one that
    uploads to S3 is signed.
    """
    parameters = form or {}
    action = parameters.get("Action")
    method = method if _METHOD.fullmatch(method) else "?"
    try:
        parts = urlsplit(target if method != "CONNECT" else "")
    except ValueError:
        parts = urlsplit("")
    authority = headers.get(":authority") or headers.get("host") or parts.netloc.rpartition("@")[2]
    if method == "CONNECT":
        authority = target
    host = _host(authority)
    path, query = parts.path or ("/" if method != "CONNECT" else ""), parts.query
    if action is None and "Action=" in query:
        action = next(iter(parse_qs(query, max_num_fields=1000).get("Action", [])), None)
    known = operations.operation(host_of(host), method, path, headers.get("x-amz-target"), action)
    signature = signing.read(headers, query, salt, parameters, upload)
    built = Request(
        flow,
        packet,
        method,
        scheme,
        host,
        operations.template(path) if path else None,
        user_agent_sdk=agent(headers.get("user-agent", "")),
        signed=signature.is_signed,
        signature_version=signature.version,
        wrong=signature.wrong,
        credential_kind=signature.key_kind,
        credential_hash=signature.key,
        scope_date=signature.date,
        scope_region=signature.region,
        scope_regions=signature.regions,
        scope_service=signature.service,
        signed_headers=signature.signed_headers,
        unsigned=signature.unsigned,
        token_present=signature.has_token,
        signed_at=signature.signed_at,
        expires_s=signature.expires,
    )
    return built if known is None else _called(built, known)


def _called(request: Request, known: operations.Operation) -> Request:
    """Note the operation that a request calls."""
    request.api = f"{known.model}:{known.name}"
    request.signed_api = known.is_signed
    request.path_template = known.template
    request.signing_names = sorted(operations.signing_names()[known.service])
    return request


def form(request: Request, parameters: Mapping[str, str]) -> None:
    """Take in what a form says that came behind the request's headers."""
    known = operations.operation(host_of(request.authority), request.method or "", "/", None, parameters.get("Action"))
    if known is not None:
        _called(request, known)


def answer(request: Request, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    """Take in what the response says of a request."""
    request.status = status
    for name in _REQUEST_IDS:
        if re.fullmatch(r"[A-Za-z0-9-]{8,64}", headers.get(name, "")):
            request.aws_request_id = headers[name]
            break
    if status >= 400:
        text = headers.get("x-amzn-errortype") or headers.get("x-amz-error-code")
        if text is None and (match := _JSON_ERROR.search(body) or _XML_ERROR.search(body)) is not None:
            text = match[1].decode("ascii", "replace")
        request.error_code = error_name(text) if text else None


class Exchange:
    """Requests that wait for their responses: by stream in HTTP/2 and 3, in order in HTTP/1."""

    def __init__(self) -> None:
        self._in_order: dict[int, deque[Request]] = {}
        self._by_stream: dict[tuple[int, int, int], Request] = {}

    def asked(self, request: Request, stream: tuple[int, int] | None = None) -> Iterator[Request]:
        """Take in a request; those that are given up waiting for come out."""
        if stream is not None:
            before = self._by_stream.pop((request.flow, *stream), None)
            if before is not None:
                yield before
            self._by_stream[request.flow, *stream] = request
            return
        waiting = self._in_order.setdefault(request.flow, deque())
        waiting.append(request)
        if len(waiting) > MOST_WAITING:
            yield waiting.popleft()

    def waiting(self, flow: int, stream: tuple[int, int] | None = None) -> Request | None:
        """The request that a response is to."""
        if stream is not None:
            return self._by_stream.get((flow, *stream))
        queue = self._in_order.get(flow)
        return queue[0] if queue else None

    def answered(self, flow: int, stream: tuple[int, int] | None = None) -> Request | None:
        """The same, which is complete now."""
        if stream is not None:
            return self._by_stream.pop((flow, *stream), None)
        queue = self._in_order.get(flow)
        return queue.popleft() if queue else None

    def rest(self) -> Iterator[Request]:
        """Requests without a response."""
        for queue in self._in_order.values():
            yield from queue
        yield from self._by_stream.values()
