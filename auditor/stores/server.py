"""The child that speaks to stores: it alone has a network and the user's credentials, and it reads no capture.

It is given one end of a socket as standard input. Over that comes a socket for each request; when it ends, this ends too.
"""

import os
import resource
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict
from typing import Any

from auditor.border.urls import WEB, has_magic, scheme_of
from auditor.stores import systems, wire
from auditor.stores.objects import ChangedError, NoRangesError, StoreObject, Version, found, persistently
from auditor.stores.read_ahead import Budget, ReadAhead

THREADS = 32  # that wait for stores
AT_ONCE = 16  # stretches of objects that are on their way
LISTED = 1000  # objects in one message
SNIFFED = 64 << 10  # bytes of an object that was named by itself, by which its kind is recognised
ON_THEIR_WAY = 64 << 20  # bytes of all objects that are read
PART = 8 << 20  # bytes of an object that are written at once
MOST_MEMORY = 2 << 30  # bytes: a store may list objects without end


class Server:
    """What is asked of stores, each request in a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._budget = Budget(ON_THEIR_WAY)
        self._asked: dict[str, Callable[[socket.socket, dict[str, Any]], None]] = {
            "find": self._find,
            "open": self._open,
            "pieces": self._pieces,
            "put": self._put,
            "remove": self._remove,
        }

    def serve(self, control: socket.socket) -> None:
        """Answer until nobody asks any more."""
        while True:
            message, numbers, _, _ = socket.recv_fds(control, 1, 1)
            if not message:
                return
            for number in numbers:
                threading.Thread(target=self._answer, args=(socket.socket(fileno=number),), daemon=True).start()

    def _answer(self, to: socket.socket) -> None:
        with to, suppress(OSError):  # of the socket: whoever asked does not want it any more
            kind, length = wire.header(to)
            request = wire.value(to, length)
            assert kind == wire.SAID
            try:
                self._asked[request["what"]](to, request)
            except (BrokenPipeError, ConnectionResetError, wire.CutError):
                raise
            except Exception as error:  # noqa: BLE001 - reported to whoever asked
                wire.say(to, systems.reason(error), wire.FAILED)

    def _find(self, to: socket.socket, request: dict[str, Any]) -> None:
        """What a URL stands for: an object with its first bytes, those in a folder, or those that a pattern fits."""
        url, is_web = request["url"], scheme_of(request["url"]) in WEB
        if not is_web and "/" not in url.partition("://")[2]:  # all of a bucket
            url += "/"
        if not url.endswith("/") and not (has_magic(url) and (listed := self._listed(url, glob=True))):
            try:
                version, head = self._beginning(found(url), Version(), SNIFFED)
            except FileNotFoundError:
                listed = [] if is_web or has_magic(url) else self._listed(url, glob=False)
                if not listed and not has_magic(url):
                    raise
            else:
                wire.say(to, {"is": "object", "version": asdict(version)})
                wire.send(to, wire.DATA, head)
                return
        elif url.endswith("/"):
            listed = self._listed(url, glob=False)
        wire.say(to, {"is": "several" if has_magic(url) else "folder", "count": len(listed)})
        for first in range(0, len(listed), LISTED):
            wire.say(to, listed[first : first + LISTED])

    def _listed(self, url: str, *, glob: bool) -> list[tuple[str, dict[str, Any]]]:
        """Objects in a folder or that a pattern fits, in order, each with its version as the listing tells it."""
        system, path = systems.located(url)
        infos = persistently(lambda: (system.glob if glob else system.find)(path, detail=True))
        place = url.partition("://")[2].partition("/")[0]

        def named(name: str) -> str:
            if scheme_of(url) in WEB:
                return name
            return f"{scheme_of(url)}://{place}/{name.lstrip('/').partition('/')[2]}"

        return [
            (named(name), asdict(Version.of(info)))
            for name, info in sorted(infos.items())
            if info.get("type") == "file" and not name.endswith("/") and "/../" not in name
        ]

    def _beginning(self, thing: StoreObject, version: Version, most: int) -> tuple[Version, bytes]:
        """The first bytes of an object as it is now."""
        try:
            data, version = thing.read(0, most, version)
        except ChangedError:  # since it was listed
            data, version = thing.read(0, most, Version())
        except NoRangesError:
            reading, data = ReadAhead(thing, version, self._pool, self._budget), b""
            reading.begin()
            with closing(iter(reading)) as pieces:
                while len(data) < most and (piece := next(pieces, b"")):
                    data += piece
            version = reading.version
        return version, data[:most]

    def _open(self, to: socket.socket, request: dict[str, Any]) -> None:
        """All bytes of an object, then whether there was another one of that name at the end."""
        version = Version(**request["version"])
        reading = ReadAhead(found(request["url"]), version, self._pool, self._budget)
        reading.begin()
        wire.say(to, asdict(reading.version))
        with closing(iter(reading)) as pieces:
            for data in pieces:
                wire.send(to, wire.DATA, data)
        wire.say(to, {"changed": reading.changed})

    def _pieces(self, to: socket.socket, request: dict[str, Any]) -> None:
        """Stretches of objects, in order; nothing of one that cannot be read, which is reported when it is read as a whole."""

        def piece(url: str, version: dict[str, Any], begin: int, end: int) -> bytes:
            try:
                thing, known = found(url), Version(**version)
                return thing.read(begin, end, known)[0] if begin else self._beginning(thing, known, end)[1]
            except Exception:  # noqa: BLE001 - reported then
                return b""

        waiting: deque[Future[bytes]] = deque()
        for wanted in request["pieces"]:
            waiting.append(self._pool.submit(piece, *wanted))
            if len(waiting) == AT_ONCE:
                wire.send(to, wire.DATA, waiting.popleft().result())
        while waiting:
            wire.send(to, wire.DATA, waiting.popleft().result())

    def _put(self, to: socket.socket, request: dict[str, Any]) -> None:
        """Write an object: whole, or not at all."""
        system, path = systems.located(request["url"])
        with system.open(path, "wb", block_size=PART) as file:
            for piece in _pieces(to):
                file.write(piece)
        wire.say(to, None)

    def _remove(self, to: socket.socket, request: dict[str, Any]) -> None:
        """Remove an object, if it is there."""
        system, path = systems.located(request["url"])
        with suppress(FileNotFoundError):
            persistently(lambda: system.rm_file(path))
        wire.say(to, None)


def _pieces(of: socket.socket) -> Iterator[bytes]:
    """The bytes of a file that is sent; its end is a frame without any."""
    while True:
        kind, length = wire.header(of)
        if kind != wire.DATA:
            raise wire.CutError("not all of it came")
        if not length:
            return
        yield wire.exactly(of, length)


def main(_: list[str]) -> int:
    """Speak to stores until nobody asks any more."""
    from auditor.machine import rights

    rights.keep_network()
    most = (MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1])
    with suppress(ValueError, OSError):  # where less is allowed already
        resource.setrlimit(resource.RLIMIT_DATA, most)
    control = socket.socket(fileno=os.dup(0))
    sys.stdin.close()
    Server().serve(control)
    os._exit(0)
