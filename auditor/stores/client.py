"""What an audit knows of stores: asks the child that speaks to them, and gives what it reads as streams of bytes."""

import io
import os
import socket
import subprocess
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from auditor.border.urls import WEB, has_user, public, scheme_of
from auditor.errors import InputError
from auditor.machine import isolated
from auditor.stores import wire

SERVER = "auditor.stores.server"
# Settings of stores' own libraries, of proxies and of certificates: what the child, and no other, is given of the environment.
SETTINGS = (
    "AWS_", "BOTO", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "GCE_", "GCSFS_", "STORAGE_EMULATOR_HOST", "AZURE_", "MSI_",
    "IDENTITY_", "FSSPEC_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC",
)  # fmt: skip
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
HOMES = ("HOME", "XDG_CONFIG_HOME")
PATIENCE = 5.0  # seconds
MOST_ASKED = 1 << 20  # bytes of URLs in one message
ENDED = "the process that reads from stores has ended"


@dataclass(frozen=True)
class Remote:
    """An object of a store: its URL, and what of it is known of which version it is."""

    url: str
    version: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its URL without what is secret."""
        return public(self.url)

    @property
    def size(self) -> int | None:
        size = self.version.get("size")
        return size if isinstance(size, int) else None

    @property
    def stamp(self) -> str | None:
        """What tells its version from others; None where its store says nothing of that."""
        said = [
            str(self.version[name]) for name in ("etag", "modified", "number") if self.version.get(name) is not None
        ]
        return " ".join(said) or None

    def prepare(self) -> "RemoteStream":
        """Its bytes, of that version, asked for and not waited for."""
        return RemoteStream(self)

    def open(self) -> "RemoteStream":
        """Its bytes, of that version. Raises InputError naming it and the reason."""
        return self.prepare().begin()


@dataclass(frozen=True)
class Found:
    """What a URL stands for."""

    objects: list[Remote]
    head: bytes | None = None  # the first bytes of the one object that it names
    is_folder: bool = False


class StoreChild:
    """The process that speaks to stores. It ends with this one, or when nobody can ask it any more."""

    _one: "StoreChild | None" = None
    _lock = threading.Lock()

    def __init__(self, given: dict[str, str]) -> None:
        self._of, self._given = os.getpid(), _chosen(given)
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = isolated.start(
                isolated.module(SERVER), given, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process to decide on
            )  # fmt: skip
        weakref.finalize(self, _end, self._control, self._process)

    @classmethod
    def one(cls) -> "StoreChild":
        """The child of this process; a new one where it has ended, or the user's settings are others now."""
        with cls._lock:
            given = settings()
            if cls._one is None or not cls._one._is_of(given):  # noqa: SLF001 - one of its own
                cls._one = cls(given)
            return cls._one

    def _is_of(self, given: dict[str, str]) -> bool:
        """Whether it was started by this process, with these settings, and still answers."""
        return self._of == os.getpid() and self._given == _chosen(given) and self._process.poll() is None

    def ask(self, what: str, **more: Any) -> "Reply":
        """A socket on which an answer comes. Raises InputError where nobody answers."""
        plain, theirs = socket.socketpair()
        ours = Reply(fileno=plain.detach())
        ours.child = self
        try:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"?"], [theirs.fileno()])
            wire.say(ours, {"what": what, **more})
        except OSError as error:
            ours.close()
            raise InputError(ENDED) from error
        return ours


class Reply(socket.socket):
    """What comes from the child, which is not ended before."""

    child: StoreChild


def _end(control: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    """Let a child end, since nobody asks it any more."""
    control.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
        return
    process.kill()
    process.wait()


def settings() -> dict[str, str]:
    """What the child is given of the environment: the user's own configuration of stores."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(SETTINGS) or name.upper() in PROXIES or name in HOMES
    }
    return {"HOME": str(Path("~").expanduser()), **kept}


def _chosen(given: Mapping[str, str]) -> dict[str, str]:
    """What of the settings a user changes on purpose; the home is another one when rights are given up."""
    return {name: value for name, value in given.items() if name not in HOMES}


def check(url: str) -> None:
    """Raise InputError for a URL that names nothing, or holds a password."""
    if not url.partition("://")[2].partition("/")[0] and scheme_of(url) != "memory":
        raise InputError(f"{public(url)}: names no bucket, container or host")
    if has_user(url):
        where = "~/.netrc" if scheme_of(url) in WEB else "the environment, a profile or a role"
        raise InputError(
            f"{public(url)}: a password does not belong into a URL, where others see it; give it by {where}"
        )


def _message(url: str, answer: socket.socket) -> Any:
    """The value that comes next. Raises InputError naming the object and why there is none."""
    try:
        kind, length = wire.header(answer)
        value = wire.value(answer, length)
    except OSError as error:
        raise InputError(f"{public(url)}: {ENDED}") from error
    if kind == wire.FAILED:
        raise InputError(f"{public(url)}: {value}")
    return value


def find(url: str) -> Found:
    """What a URL stands for: an object, those in a folder, or those that a pattern fits. Raises InputError."""
    check(url)
    with StoreChild.one().ask("find", url=url) as answer:
        message = _message(url, answer)
        if message["is"] == "object":
            return Found([Remote(url, message["version"])], _data(url, answer))
        objects: list[Remote] = []
        while len(objects) < message["count"]:
            objects += [Remote(name, version) for name, version in _message(url, answer)]
    return Found(objects, is_folder=message["is"] == "folder")


def _data(url: str, answer: socket.socket) -> bytes:
    try:
        _, length = wire.header(answer)
        return wire.exactly(answer, length)
    except OSError as error:
        raise InputError(f"{public(url)}: {ENDED}") from error


def _pieces(wanted: Sequence[tuple[Remote, int, int]]) -> Iterator[bytes]:
    """Stretches of objects, in order, several at a time on their way; nothing of what cannot be read."""
    group: list[tuple[Remote, int, int]] = []
    size = 0
    for one in wanted:
        size += len(one[0].url)
        if size > MOST_ASKED and group:
            yield from _of_group(group)
            group, size = [], len(one[0].url)
        group.append(one)
    if group:
        yield from _of_group(group)


def _of_group(group: Sequence[tuple[Remote, int, int]]) -> Iterator[bytes]:
    """``_pieces`` of so many as are asked for in one message; nothing of any more where the child has ended."""
    asked = [(one.url, dict(one.version), begin, end) for one, begin, end in group]
    given = 0
    with suppress(InputError), StoreChild.one().ask("pieces", pieces=asked) as answer:
        for one, _, _ in group:
            data = _data(one.url, answer)
            given += 1
            yield data
    yield from [b""] * (len(group) - given)


def beginnings(objects: Sequence[Remote], most: int) -> Iterator[bytes]:
    """The first bytes of objects, in order."""
    return _pieces([(one, 0, most) for one in objects])


def ends(objects: Sequence[Remote], head: int, tail: int) -> Iterator[tuple[bytes, bytes] | None]:
    """The first and the last bytes of objects, in order; None where it is not known how long one is."""
    wanted = [
        piece
        for one in objects
        if one.size is not None
        for piece in ((one, 0, head), (one, max(0, one.size - tail), one.size))
    ]
    pieces = _pieces(wanted)
    for one in objects:
        yield None if one.size is None else (next(pieces), next(pieces))


def contents(url: str, most: int) -> bytes:
    """All of a small object. Raises InputError where it is larger than ``most``."""
    check(url)
    with Remote(url).open() as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise InputError(f"{public(url)}: more than {most >> 20:,} MiB")
    return data


def put(url: str, file: BinaryIO) -> None:
    """Write an object: whole, or not at all. Raises InputError."""
    with StoreChild.one().ask("put", url=url) as answer:
        with suppress(BrokenPipeError, ConnectionResetError):  # why it goes no further is in the answer
            while piece := file.read(wire.PIECE):
                wire.send(answer, wire.DATA, piece)
            wire.send(answer, wire.DATA, b"")
        _message(url, answer)


def remove(url: str) -> None:
    """Remove an object, if it is there. Raises InputError."""
    with StoreChild.one().ask("remove", url=url) as answer:
        _message(url, answer)


class RemoteStream(io.RawIOBase):
    """The bytes of an object in order. Raises InputError where they cannot be read any further."""

    def __init__(self, remote: Remote) -> None:
        super().__init__()
        self.remote = remote
        self.version: Mapping[str, Any] = remote.version
        self.changed = False  # once it was read to its end: whether the object was another one in the meantime
        self._left = 0  # bytes of the frame that is read
        self._begun = self._ended = False
        self._answer = StoreChild.one().ask("open", url=remote.url, version=dict(remote.version))

    def begin(self) -> "RemoteStream":
        """Wait until its first bytes are there. Raises InputError naming the object and why they do not come."""
        if not self._begun:
            try:
                self.version = _message(self.remote.url, self._answer)
            except BaseException:
                self.close()
                raise
            self._begun = True
        return self

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._left and not self._ended and len(view):
            self._next()
        if self._ended or not len(view):
            return 0
        try:
            got = self._answer.recv_into(view[: self._left])
        except OSError:
            got = 0
        if not got:
            raise InputError(f"{self.remote.name}: {ENDED}")
        self._left -= got
        return got

    def _next(self) -> None:
        """The next frame: bytes, or the message at the end."""
        try:
            kind, self._left = wire.header(self._answer)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.remote.name}: {ENDED}") from error
        if kind == wire.DATA:
            return
        value, self._left, self._ended = wire.value(self._answer, self._left), 0, True
        if kind == wire.FAILED:
            raise InputError(f"{self.remote.name}: {value}")
        self.changed = bool(value["changed"])

    def stop(self) -> None:
        """Let whoever waits for bytes wait no longer: nobody wants more of it."""
        with suppress(OSError):
            self._answer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._answer.close()
        super().close()
