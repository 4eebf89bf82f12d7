"""Servers on loopback that speak the few requests of Google Cloud Storage and Azure Blob Storage that an audit makes."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.web import on_loopback

ACCOUNT, KEY = "devstoreaccount1", base64.b64encode(b"a key that is shown nowhere").decode()
WHEN = 1_750_000_000


@dataclass
class Store:
    """What a store has, by bucket or container and name; and what it was asked."""

    objects: dict[str, bytes] = field(default_factory=dict)
    generation: dict[str, int] = field(default_factory=dict)  # how often each was written
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path and range of each request
    url: str = ""

    def put(self, name: str, data: bytes) -> None:
        """Write an object."""
        self.objects[name] = data
        self.generation[name] = self.generation.get(name, 0) + 1

    def tag(self, name: str) -> str:
        """By which an object is known again."""
        return f'"{hashlib.sha256(self.objects[name]).hexdigest()[:16]}-{self.generation[name]}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, str]]:
        """The path and the query of a request, which is noted."""
        split = urlsplit(self.path)
        wanted = self.headers.get("x-ms-range") or self.headers.get("Range")
        self.store.asked.append((self.command, unquote(split.path), wanted))
        return split.path, {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_object(self, name: str, **headers: str) -> None:
        """An object, or the range of it that is wanted."""
        data = self.store.objects[name]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("x-ms-range") or self.headers.get("Range") or "")
        headers |= {"ETag": self.store.tag(name), "Last_Modified": formatdate(WHEN, usegmt=True)}
        if wanted is None or self.command == "HEAD":
            self._send(200, data, **headers)
            return
        begin, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        if begin >= len(data):
            self._send(416)
            return
        self._send(206, data[begin : end + 1], Content_Range=f"bytes {begin}-{end}/{len(data)}", **headers)


class _Google(_Handler):
    """The JSON API of Google Cloud Storage."""

    def do_GET(self) -> None:
        path, query = self._asked()
        found = re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?", path)
        if found is None:
            self._send(404)
        elif found[2] is None:
            names = [name for name in self.store.objects if name.startswith(f"{found[1]}/{query.get('prefix', '')}")]
            listed = {"kind": "storage#objects", "items": [self._described(name) for name in sorted(names)]}
            self._json(listed if path.endswith("/o") else {"name": found[1]})
        else:
            name = f"{found[1]}/{unquote(found[2])}"
            known = str(self.store.generation.get(name))
            if name not in self.store.objects or query.get("generation", known) != known:
                self._send(404, b'{"error": {"code": 404, "message": "no such object"}}')
            elif query.get("alt") == "media":
                self._send_object(name)
            else:
                self._json(self._described(name))

    def do_POST(self) -> None:
        """An upload that goes on in further requests begins; its address is given."""
        path, query = self._asked()
        if path.startswith("/more/"):
            self._take(path)
            return
        bucket, body = path.split("/b/")[1].split("/")[0], self._body()
        name = query.get("name") or json.loads(body)["name"]
        self._send(200, Location=f"{self.store.url}/more/{bucket}/{quote(name, safe='')}")

    def _take(self, path: str) -> None:
        """The next part of an upload: ``bytes 0-99/*``, or with the size of all of it the last one."""
        name, body = unquote(path.removeprefix("/more/")), self._body()
        is_last = not self.headers["Content-Range"].endswith("/*")
        whole = self.store.objects.pop(f"{name}?", b"") + body
        if is_last:
            self.store.put(name, whole)
            self._json(self._described(name))
        else:
            self.store.objects[f"{name}?"] = whole
            self._send(308, Range=f"bytes=0-{len(whole) - 1}")

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        bucket, _, name = path.removeprefix("/storage/v1/b/").partition("/o/")
        gone = self.store.objects.pop(f"{bucket}/{unquote(name)}", None)
        self._send(404 if gone is None else 204)

    def _described(self, name: str) -> dict[str, Any]:
        bucket, _, key = name.partition("/")
        generation = str(self.store.generation[name])
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": key,
            "size": str(len(self.store.objects[name])),
            "generation": generation,
            "etag": self.store.tag(name),
            "updated": "2025-06-15T15:06:40.000Z",
            "timeCreated": "2025-06-15T15:06:40.000Z",
        }

    def _json(self, answer: dict[str, Any]) -> None:
        self._send(200, json.dumps(answer).encode(), Content_Type="application/json")


class _Azure(_Handler):
    """The REST API of Azure's blobs, with a path that begins with the account."""

    def do_GET(self) -> None:
        path, query = self._asked()
        name = unquote(path.removeprefix(f"/{ACCOUNT}/"))
        if query.get("comp") == "list":
            self._list(name, query)
        elif query.get("restype") == "container":
            self._send(200, ETag='"1"', Last_Modified=formatdate(WHEN, usegmt=True))
        elif name not in self.store.objects:
            self._send(404, x_ms_error_code="BlobNotFound")
        elif self.headers.get("If-Match") not in (None, self.store.tag(name)):
            self._send(412, x_ms_error_code="ConditionNotMet")
        else:
            self._send_object(name, x_ms_blob_type="BlockBlob", x_ms_creation_time=formatdate(WHEN, usegmt=True))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self, container: str, query: dict[str, str]) -> None:
        prefix, parts, folders = f"{container}/{query.get('prefix', '')}", [], set[str]()
        for name in sorted(one for one in self.store.objects if one.startswith(prefix)):
            key = name.partition("/")[2]
            rest = name.removeprefix(prefix)
            if query.get("delimiter") and "/" in rest:
                folders.add(key[: len(key) - len(rest)] + rest.partition("/")[0] + "/")
                continue
            parts.append(
                f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{formatdate(WHEN, usegmt=True)}</Last-Modified>"
                f"<Etag>{escape(self.store.tag(name))}</Etag><Content-Length>{len(self.store.objects[name])}</Content-Length>"
                f"<BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
        parts += [f"<BlobPrefix><Name>{escape(one)}</Name></BlobPrefix>" for one in sorted(folders)]
        body = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}"><Blobs>{"".join(parts)}</Blobs><NextMarker/></EnumerationResults>'
        self._send(200, body.encode(), Content_Type="application/xml")

    def do_PUT(self) -> None:
        path, query = self._asked()
        name = unquote(path.removeprefix(f"/{ACCOUNT}/"))
        body = self._body()
        if query.get("comp") == "block":
            self.store.objects[f"{name}?{query['blockid']}"] = body
        elif query.get("comp") == "blocklist":
            blocks = re.findall(rb"<(?:Latest|Uncommitted)>([^<]+)<", body)
            self.store.put(name, b"".join(self.store.objects.pop(f"{name}?{one.decode()}") for one in blocks))
        else:
            self.store.put(name, body)
        self._send(201, ETag='"1"', Last_Modified=formatdate(WHEN, usegmt=True))

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        gone = self.store.objects.pop(unquote(path.removeprefix(f"/{ACCOUNT}/")), None)
        self._send(404 if gone is None else 202)


@contextmanager
def _serving(kind: type[_Handler]) -> Iterator[Store]:
    store = Store()
    with on_loopback(kind, store=store) as store.url:
        yield store


@contextmanager
def google() -> Iterator[tuple[Store, dict[str, str]]]:
    """A server that plays Google's, and the settings by which it is found."""
    with _serving(_Google) as store:
        yield store, {"STORAGE_EMULATOR_HOST": store.url}


@contextmanager
def azure() -> Iterator[tuple[Store, dict[str, str]]]:
    """A server that plays Azure's, and the settings by which it is found."""
    with _serving(_Azure) as store:
        place = f"{store.url}/{ACCOUNT}"
        text = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={place};"
        yield store, {"AZURE_STORAGE_CONNECTION_STRING": text}
