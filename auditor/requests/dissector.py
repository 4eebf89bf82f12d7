"""Requests and what else is of use, taken out of the packets that tshark dissects and pyshark reads."""

import ipaddress
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from auditor.border.words import is_number
from auditor.requests import packed_certificates, signing, upload
from auditor.requests.http import Exchange, Request, answer, form, request
from auditor.requests.http3 import Streams

FORM = ("Action", "AWSAccessKeyId", "SignatureVersion", "SecurityToken", "Timestamp")
ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, PACKED_CERTIFICATE = (
    "8",
    "11",
    "13",
    "15",
    "25",
)
PACKED = "tls.compress_certificate"
NOTHING_REVEALED: dict[str, Any] = {"alpn": None, "certificates": [], "unread": None, "asked": None, "signed": None}
# RFC 8446 4.6.2; tshark then takes the client's keys for new ones.
ASKED_LATER = "its server asked for the client's certificate behind the handshake: what the client sent after that tshark does not read"
HEADERS = "1"  # type of a frame of HTTP/2
BROKEN = "a packet of it could not be taken apart"
BODY = 4096  # bytes of a response with an error that are looked at


class Layers:
    """The layers of one packet, as pyshark has them."""

    def __init__(self, packet: Any) -> None:
        self.number = int(packet.number)
        self.layers = packet.layers
        source, target = (ipaddress.ip_address(getattr(packet.ip, name)).packed for name in ("src", "dst"))
        self.from_client = source[0] == 10
        client = source if self.from_client else target
        self.flow = int.from_bytes(client[1:], "big")

    @cached_property
    def form(self) -> dict[str, str]:
        """What its form says, which is looked for once, however many frames of HTTP/2 are in a packet."""
        return form_of(self.layers)


def values(layer: Any, name: str) -> list[str]:
    """All values of a field of a layer."""
    fields = layer._all_fields.get(name)  # noqa: SLF001 - pyshark's public way in gives only the first of several
    return [] if fields is None else [field.show or "" for field in fields.all_fields]


def raw_values(layer: Any, name: str) -> list[str]:
    """The bytes of all of them, as hexadecimal digits."""
    fields = layer._all_fields.get(name)  # noqa: SLF001 - see ``values``
    return [] if fields is None else [field.raw_value or "" for field in fields.all_fields]


def first(layer: Any, name: str) -> str | None:
    shown = values(layer, name)
    return shown[0] if shown else None


def header_lines(layer: Any, name: str) -> dict[str, str]:
    """The headers of HTTP/1, names in lower case; of several with one name the first."""
    headers: dict[str, str] = {}
    for line in values(layer, name):
        key, _, value = line.replace("\\r\\n", "").partition(":")
        signing.add_header(headers, key.strip().lower(), value.strip())
    return headers


def form_of(layers: list[Any]) -> dict[str, str]:
    """What the AWS query protocol says in a form: the operation, and how it is signed. Nothing else is taken.

    Of a signature of Version 2, which is in the form, only whether it is there.
    """
    parameters: dict[str, str] = {}
    for layer in layers:
        if layer.layer_name == "urlencoded-form":
            keys, contents = values(layer, "urlencoded-form.key"), values(layer, "urlencoded-form.value")
            for key, value in zip(keys, contents, strict=False):
                if key in FORM:
                    parameters[key] = value
                elif key == "Signature" and value:
                    parameters[key] = "there"
    return parameters


def upload_of(method: str, headers: dict[str, str], layer: Any) -> dict[str, str]:
    """The fields that sign a form which uploads to S3; none of another request."""
    kind = headers.get("content-type", "")
    if not upload.is_upload(method, headers.get("host")) or upload.boundary(kind) is None:
        return {}
    shown = layer._all_fields.get("http.file_data")  # noqa: SLF001 - see ``values``
    raw = "" if shown is None else (shown.all_fields[0].raw_value or "").replace(":", "")
    return upload.fields(kind, bytes.fromhex(raw[: 2 * upload.MOST_BYTES]))


def body_of(layer: Any) -> bytes:
    text = first(layer, "http.file_data") or ""
    if re.fullmatch(r"(?:[0-9a-f]{2}:)*[0-9a-f]{2}", text[: 3 * BODY - 1]):
        return bytes.fromhex(text[: 3 * BODY - 1].replace(":", ""))
    return text[:BODY].encode("utf-8", "replace")


class Dissector:
    """Turns packets into requests."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.salt = bytes.fromhex(order["salt"])
        self.clear = set(order["clear"])
        self.exchange = Exchange()
        self.streams = Streams()
        self.begun: dict[tuple[int, bool], dict[str, str]] = {}  # of flows and sides: headers that are not whole
        self.opened: set[tuple[int, bool]] = set()  # flows, and whether it is the client's side
        self._partial: dict[int, str] = {}
        self.revealed: dict[tuple[int, bool], dict[str, Any]] = {}  # likewise: what their encrypted handshakes say

    def take(self, packet: Any) -> Iterator[Request]:
        """The requests that become known by a packet. One that cannot be taken apart costs its own flow, and no other."""
        layers = Layers(packet)
        try:
            yield from self._take(layers)
        except Exception:  # noqa: BLE001 - whatever it is: others' requests do not depend on what one of them sends
            self._partial[layers.flow] = BROKEN

    def _take(self, layers: Layers) -> Iterator[Request]:
        for layer in layers.layers:
            if layer.layer_name == "tls" and _is_opened(layer):
                self.opened.add((layers.flow, layers.from_client))
            if layer.layer_name in ("tls", "quic"):
                self._flight(layers, layer)
            if layer.layer_name == "http":
                yield from self._http(layers, layer)
            elif layer.layer_name == "http2":
                yield from self._http2(layers, layer)
            elif layer.layer_name == "quic":
                yield from self._quic(layers, layer)
            elif layer.layer_name == "smtp":
                yield from self._smtp(layers, layer)

    def _flight(self, seen: Layers, layer: Any) -> None:
        """What a side says of itself in the encrypted part of a handshake of TLS 1.3, and a client in a renegotiation."""
        types = values(layer, "tls.handshake.type")
        if layer.layer_name == "tls" and first(layer, "tls.record.opaque_type") is None:
            # Behind both sides' Finished; what stands before them, in clear, is read by the kernels.
            if not seen.from_client or not {(seen.flow, True), (seen.flow, False)} <= self.opened:
                return
        entry = self.revealed.setdefault((seen.flow, seen.from_client), dict(NOTHING_REVEALED))
        if ENCRYPTED_EXTENSIONS in types and not seen.from_client:
            entry["alpn"] = entry["alpn"] or first(layer, "tls.handshake.extensions_alpn_str")
        if {CERTIFICATE_REQUEST, CERTIFICATE, PACKED_CERTIFICATE} & set(
            types
        ):  # which comes first, where it does (RFC 8446 4.3.2)
            entry["asked"] = entry["asked"] or CERTIFICATE_REQUEST in types
        if CERTIFICATE_REQUEST in types and (seen.flow, True) in self.opened:
            self._partial[seen.flow] = ASKED_LATER
        if CERTIFICATE_VERIFY in types and entry["signed"] is None:
            # Those that a CertificateRequest lists stand before it.
            schemes = values(layer, "tls.handshake.sig_hash_alg")
            entry["signed"] = int(schemes[-1], 0) if schemes else None
        if {CERTIFICATE, PACKED_CERTIFICATE} & set(types) and not entry["certificates"]:
            entry["certificates"], entry["unread"] = _chain(layer, is_packed=PACKED_CERTIFICATE in types)

    def _scheme(self, flow: int) -> str:
        return "http" if flow in self.clear else "https"

    def _http(self, seen: Layers, layer: Any) -> Iterator[Request]:
        if (method := first(layer, "http.request.method")) is not None and seen.from_client:
            headers = header_lines(layer, "http.request.line")
            yield from self.exchange.asked(
                request(
                    seen.flow,
                    seen.number,
                    method,
                    first(layer, "http.request.uri") or "/",
                    headers,
                    scheme=self._scheme(seen.flow),
                    salt=self.salt,
                    form=seen.form,
                    upload=upload_of(method, headers, layer),
                )
            )
        elif (code := first(layer, "http.response.code")) is not None and not seen.from_client:
            if is_number(code) and int(code) >= 200 and (complete := self.exchange.answered(seen.flow)) is not None:
                answer(complete, int(code), header_lines(layer, "http.response.line"), body_of(layer))
                yield complete

    def _http2(self, seen: Layers, layer: Any) -> Iterator[Request]:
        number = first(layer, "http2.streamid")
        if number is None or not is_number(number):
            return
        stream = (2, int(number))
        pending = self.exchange.waiting(seen.flow, stream)
        if seen.from_client and pending is not None and pending.api is None and seen.form:
            form(pending, seen.form)
        headers = self._whole(seen, layer)
        if headers:
            yield from self.headers(seen, stream, headers)

    def _whole(self, seen: Layers, layer: Any) -> dict[str, str]:
        """The headers of a stream of HTTP/2 once they are whole: CONTINUATION frames may follow (RFC 9113 6.10)."""
        side = (seen.flow, seen.from_client)
        if first(layer, "http2.type") == HEADERS:
            self.begun[side] = {}
        headers = self.begun.setdefault(side, {})
        for name, value in zip(values(layer, "http2.header.name"), values(layer, "http2.header.value"), strict=False):
            signing.add_header(headers, name.lower(), value)
        return self.begun.pop(side) if first(layer, "http2.flags.eh") in ("1", "True") else {}

    def headers(self, seen: Layers, stream: tuple[int, int], headers: dict[str, str]) -> Iterator[Request]:
        """The headers of a stream of HTTP/2 or 3."""
        if seen.from_client and ":method" in headers:
            yield from self.exchange.asked(
                request(
                    seen.flow,
                    seen.number,
                    headers[":method"],
                    headers.get(":path") or headers.get(":authority", ""),
                    headers,
                    scheme=self._scheme(seen.flow),
                    salt=self.salt,
                ),
                stream,
            )
        elif not seen.from_client and is_number(headers.get(":status", "")) and int(headers[":status"]) >= 200:
            if (complete := self.exchange.answered(seen.flow, stream)) is not None:
                answer(complete, int(headers[":status"]), headers)
                yield complete

    def _quic(self, seen: Layers, layer: Any) -> Iterator[Request]:
        frames = zip(
            values(layer, "quic.stream.stream_id"),
            _offsets(layer),
            values(layer, "quic.stream_data"),
            strict=False,
        )
        for number, offset, data in frames:
            self.opened.add((seen.flow, seen.from_client))
            pieces = self.streams.take(
                seen.flow, seen.from_client, int(number), offset, bytes.fromhex(data.replace(":", ""))
            )
            for stream, headers in pieces:
                yield from self.headers(seen, (3, stream), headers)

    def _smtp(self, seen: Layers, layer: Any) -> Iterator[Request]:
        for command, parameter in zip(
            values(layer, "smtp.req.command"), [*values(layer, "smtp.req.parameter"), ""], strict=False
        ):
            if command.upper() == "AUTH" and seen.from_client:
                how = parameter.split(" ")[0].upper()
                known = how if re.fullmatch(r"[A-Z0-9-]{1,20}", how) else "?"
                yield Request(seen.flow, seen.number, "AUTH", "smtp", None, None, api=f"AUTH {known}")

    def rest(self) -> Iterator[Request]:
        yield from self.exchange.rest()

    @property
    def notes(self) -> list[str]:
        """What a person should know."""
        return sorted(self.streams.notes)

    @property
    def partial(self) -> dict[int, str]:
        """Flows of whose requests some may not have been read, and why."""
        return self.streams.partial | self._partial


def _chain(layer: Any, *, is_packed: bool) -> packed_certificates.UnpackedChain:
    """The certificates that a layer shows. Newer versions of tshark unpack some by themselves."""
    chain = raw_values(layer, "tls.handshake.certificate")
    if sum(map(len, chain)) > 2 * packed_certificates.MOST_BYTES:
        return packed_certificates.UnpackedChain([], packed_certificates.TOO_LONG)
    if chain or not is_packed:
        return packed_certificates.UnpackedChain(chain)
    # Those that a CertificateRequest lists stand before it.
    algorithms, size = values(layer, f"{PACKED}.algorithm"), first(layer, f"{PACKED}.uncompressed_length") or ""
    packed = raw_values(layer, f"{PACKED}.compressed_certificate_message")
    if not packed or not algorithms or not is_number(algorithms[-1]) or not is_number(size):
        return packed_certificates.UnpackedChain([], packed_certificates.DAMAGED)
    return packed_certificates.chain(int(algorithms[-1]), int(size), bytes.fromhex(packed[0]))


def _is_opened(layer: Any) -> bool:
    """Whether what a record hides is shown: its inner type beside the outer one, or the Finished of TLS 1.2."""
    if first(layer, "tls.record.opaque_type") is not None:
        return "23" in values(layer, "tls.record.content_type")
    return "20" in values(layer, "tls.handshake.type")


def _offsets(layer: Any) -> list[int]:
    """The offsets of the STREAM frames of a packet; a frame without one begins its stream (RFC 9000 19.8)."""
    given = iter(values(layer, "quic.stream.offset"))
    flags = values(layer, "quic.stream.off")
    return [int(next(given, "0")) if flag in ("1", "True") else 0 for flag in flags]
