"""A small web server on loopback, which can be told to misbehave; and S3 as moto's server plays it."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

S3_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-is-shown-nowhere",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass
class Site:
    """What a server has, how it answers, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    has_ranges: bool = True
    has_tags: bool = True
    cut: dict[int, int] = field(default_factory=dict)  # number of a GET → bytes after which its connection is cut
    refuse: dict[int, int] = field(default_factory=dict)  # number of a GET → the status it gets
    replace: dict[int, tuple[str, bytes]] = field(default_factory=dict)  # number of a GET → what is replaced before it
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and range of each GET
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(0, with_body=False)

    def do_GET(self) -> None:
        site = self.site
        number = len(site.asked)
        site.asked.append((self.path, self.headers.get("Range")))
        if number in site.replace:
            name, data = site.replace[number]
            site.files[name] = data
        if number in site.refuse:
            self.send_error(site.refuse[number])
            return
        self._answer(number, with_body=True)

    def _answer(self, number: int, *, with_body: bool) -> None:
        site, path = self.site, self.path.partition("?")[0]
        if path.endswith("/"):
            names = [name for name in site.files if name.startswith(path)]
            self._send(
                200, "".join(f'<a href="{name}">x</a>' for name in names).encode(), {"Content-Type": "text/html"}
            )
            return
        data = site.files.get(path)
        if data is None:
            self.send_error(404)
            return
        headers = {"ETag": f'"{hash(data)}"'} if site.has_tags else {}
        if site.has_tags and self.headers.get("If-Match") not in (None, headers["ETag"]):
            self.send_error(412)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "") if site.has_ranges else None
        if wanted is None:
            self._send(
                200, data if with_body else b"", headers | {"Content-Length": str(len(data))}, site.cut.get(number)
            )
            return
        begin, end = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
        if begin >= len(data):
            self.send_error(416)
            return
        headers |= {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}", "Content-Length": str(end - begin)}
        self._send(206, data[begin:end], headers, site.cut.get(number))

    def _send(self, status: int, data: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data if cut is None else data[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


@contextmanager
def on_loopback(kind: type[BaseHTTPRequestHandler], **given: Any) -> Iterator[str]:
    """A server whose handlers have what is given as attributes: its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (kind,), given))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(files: dict[str, bytes], **more: Any) -> Iterator[Site]:
    """A web server with some files."""
    site = Site(dict(files), **more)
    with on_loopback(_Handler, site=site) as site.url:
        yield site


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that plays S3, a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {**os.environ, **S3_SETTINGS}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What a command of a process of its own says; ``more`` is added to its environment."""
    return subprocess.run(
        [sys.executable, "-m", "auditor", *words],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **more},
        timeout=600,
        check=False,
    )
