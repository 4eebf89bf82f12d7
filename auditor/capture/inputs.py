"""What to read: files, folders, globs and standard input."""

import glob
import io
import os
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.border.urls import SHOWN, is_other, public, url_of
from auditor.capture import folders
from auditor.capture.compression import compression_of
from auditor.capture.digest import DigestChild, Digested, KnownInput, started
from auditor.capture.interruptible import Interruptible, opened
from auditor.errors import InputError, shown

if TYPE_CHECKING:
    from auditor.capture.archives import Member
    from auditor.stores.client import Remote, RemoteStream

MOST_SPOOLED = 8 << 30  # bytes of a stream that are kept to be read again …
BLOCK = 512  # bytes of a tar archive's header
BEGINNING = 16 << 20  # … and of one that need not be, as far as is known


@dataclass(eq=False, repr=False)
class Input:
    """One capture: its name, and how its bytes are come by. ``size`` is None for a stream."""

    name: str
    path: Path | None = None
    stream: BinaryIO | None = None
    member: Callable[[], BinaryIO] | None = None  # opens it, where it lies in the archive ``path``
    remote: "Remote | None" = None  # where it lies in a store
    size: int | None = None
    stamp: str | None = None  # what changes when a file is written to, or which version an object is of
    is_hashed: bool = True
    is_done: bool = False  # it was read to its end, or as far as it can be, or is not to be read
    is_skipped: bool = False  # it holds nothing of the time that is audited
    is_unsorted: bool = False  # its packets may be out of order by more than shows while it is read
    refusal: str | None = None  # why it cannot be read, where that shows before it is opened
    spool: "Spool | None" = field(default=None, repr=False)  # where a stream is kept, to be read again
    digest: Digested | KnownInput | None = field(default=None, repr=False)
    hashing: DigestChild | None = field(default=None, repr=False)  # the process that hashes it
    stopped: bool = field(default=False, repr=False)  # nobody wants more of it
    _waiting: Interruptible | None = field(default=None, repr=False)
    kept: bytes | None = field(default=None, repr=False)  # all of a small object, from when it was looked at
    _read: "RemoteStream | None" = field(default=None, repr=False)

    @property
    def is_stream(self) -> bool:
        """Whether its bytes come once."""
        return self.size is None and self.member is None and self.remote is None

    def adopt(self, hashing: DigestChild) -> bool:
        """Whether it is this input that is hashed by a process that began before it was known."""
        if self.size is None or self.path is None or not hashing.is_of(self.path):
            return False
        self.hashing = hashing
        return True

    def hash_early(self) -> None:
        """Let a large file be hashed from now on, before it is opened."""
        if self.hashing is None and self.path is not None and self.size is not None:
            self.hashing = started(self.path, self.size)

    def open(self) -> "Digested":
        """The raw bytes, which are hashed as they are read. Raises InputError naming the file and the reason."""
        if self.refusal is not None:
            raise InputError(f"{self.name}: {self.refusal}")
        stream: Any = self.stream if self.member is None else self.member()
        if self.remote is not None and self.member is None:
            self.prepare()
            stream = self._read.begin() if self._read is not None else io.BytesIO(self.kept or b"")
        if stream is None:
            assert self.path is not None
            try:
                stream = opened(self.path)
            except OSError as error:
                raise InputError(f"{self.name}: {error.strerror}") from error
            if self.size is not None and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                stream.close()
                raise InputError(f"{self.name}: is no file any more")
        if self.path is not None and self.size is not None and self.is_hashed:
            self._hash(self.path, self.size, stream.fileno())
        if self.is_stream and isinstance(stream, io.RawIOBase):
            stream = self._interruptible(stream)
        if self.spool is not None:
            stream = self.spool.of(stream)
        self.digest = digest = Digested(stream, self.hashing, is_hashed=self.is_hashed)
        return digest

    def skip(self) -> None:
        """It holds nothing of the time that is audited: it is not read, and not hashed either."""
        self.is_done = self.is_skipped = True
        if self.hashing is not None:
            self.hashing.stop()
            self.hashing = None

    def prepare(self) -> None:
        """Ask for the first bytes of an object, without waiting for them: it is opened soon."""
        if self.remote is not None and self.member is None and self.kept is None and self._read is None:
            self._read = self.remote.prepare()

    def _interruptible(self, stream: io.RawIOBase) -> Interruptible:
        self._waiting = Interruptible(stream)
        if self.stopped:  # before it was opened
            self._waiting.stop()
        return self._waiting

    def stop(self) -> None:
        """Let whoever reads it, or will, find its end: a stream's reader may be waiting for bytes that never come."""
        self.stopped = True
        if self._waiting is not None:
            self._waiting.stop()
        if self._read is not None:
            self._read.stop()

    def _hash(self, path: Path, size: int, opened: int) -> None:
        """Let the file be hashed, where that has not begun: with fewer bytes, or another file of that name."""
        if self.hashing is not None and (self.hashing.size != size or not self.hashing.is_of(opened)):
            self.hashing.stop()
            self.hashing = None
        if self.hashing is None:
            self.hashing = started(path, size)

    def again(self, *, is_hashed: bool = False) -> "Input | None":
        """The same capture, to be read a second time; None for a stream that was not kept, or not to its end.

        ``is_hashed``: a file is hashed once more. What was kept of a stream has no name, so that nobody else can change it.
        """
        if self.remote is not None and self.member is None:
            version = self._read.version if self._read is not None else self.remote.version
            return Input(
                self.name,
                remote=replace(self.remote, version=version),
                size=self.size,
                is_hashed=is_hashed,
                kept=self.kept,
            )
        if self.member is not None or (self.path is not None and self.size is not None):
            return Input(self.name, self.path, member=self.member, size=self.size, is_hashed=is_hashed)
        file = self.spool.again() if self.spool is not None else None
        return Input(self.name, stream=file, is_hashed=False) if file is not None else None

    def anew(self) -> "Input":
        """The same input, to be audited from its beginning, with packets that may be in any order."""
        return replace(self, is_unsorted=True, is_done=False, is_skipped=False, digest=None, stopped=False, _read=None)

    def ends(self, head: int, tail: int) -> tuple[bytes, bytes] | None:
        """The first and the last bytes of a file; None of what is no file of its own."""
        if self.path is None or self.size is None or self.member is not None or self.refusal is not None:
            return None
        with suppress(OSError), opened(self.path) as file:
            first = file.read(head)
            file.seek(max(0, self.size - tail))
            return first, file.read(tail)
        return None

    def read_rest(self) -> None:
        """Hash what was not read because of damage: of a file all counts that was there when we set out."""
        if self.size is not None and isinstance(self.digest, Digested):
            self.digest.skip(self.size - self.digest.count)

    def sha256(self) -> str | None:
        """The digest of the input, complete once it was read to its end."""
        return self.digest.hexdigest() if self.digest else None

    def was_changed(self) -> bool:
        """Whether a file was written to while it was read, as far as can be known."""
        if self._read is not None:
            return self._read.changed
        return self.digest is not None and self.digest.was_changed()

    def forget(self) -> None:
        """Let go of what was kept for it: nobody will read it again, or ask for its digest."""
        if self.spool is not None:
            self.spool.forget()
        if self.hashing is not None:
            self.hashing.stop()
        if self._read is not None:
            self._read.close()


class Spool:
    """Keeps what is read of a stream in a file without a name: it is gone with the process, however that ends.

    Until somebody asks for it to be kept, only the beginning is: whether it is needed shows while it is read.
    """

    def __init__(self, most: int = BEGINNING) -> None:
        self._most = most
        self._kept: BinaryIO | None = None
        with suppress(OSError):  # nowhere to keep it: the audit goes on without
            self._kept = tempfile.TemporaryFile()
        self._stream: Any = None
        self._size = 0

    def keep(self) -> None:
        """Keep all of it, up to MOST_SPOOLED."""
        self._most = MOST_SPOOLED

    def of(self, stream: Any) -> "Spool":
        self._stream = stream
        return self

    def _keep(self, data: Any) -> None:
        if self._kept is None:
            return
        self._size += len(data)
        try:
            if self._size > self._most:
                raise OSError("too much")
            self._kept.write(data)
        except OSError:  # no room: the audit goes on without
            self._kept.close()
            self._kept = None

    def readinto(self, view: memoryview) -> int:
        got: int = self._stream.readinto(view) or 0
        self._keep(view[:got])
        return got

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self._keep(data)
        return data

    def again(self) -> BinaryIO | None:
        """The file, at its beginning; None where not all is in it."""
        if self._kept is None:
            return None
        self._kept.flush()
        file = os.fdopen(os.dup(self._kept.fileno()), "rb", buffering=0)
        file.seek(0)
        return file

    def close(self) -> None:
        self._stream.close()

    def forget(self) -> None:
        """Give the room back: nobody will read it again."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _files_of(argument: str, say: Callable[[str], object] | None) -> list[tuple[Path, str | None]]:
    """The files that an argument stands for; beside each the reason if it cannot be read."""
    path = Path(argument)
    if folders.is_folder(path):
        from auditor.capture import recognised  # only for folders: it loads what reads captures

        files, passed_over = recognised.captures(path)
        if not files:
            raise InputError(passed_over or f"{shown(argument)}: the folder is empty: it holds no capture")
        if passed_over is not None and say is not None:
            say(passed_over)
        return files
    if not folders.is_missing(path):
        # What cannot be looked at is refused; pipes that the user names are read.
        return [(path, None if os.access(path, os.F_OK) else folders.refusal(path))]
    if "\0" in argument:
        raise InputError(f"{argument}: a name that no file can have")
    matches = sorted(Path(match) for match in glob.glob(argument, recursive=True))
    if matches:
        files = [(match, folders.refusal(match)) for match in matches if not match.is_dir()]
        if not files:
            raise InputError(f"{argument}: only folders are named like that, no file; give the folders themselves")
        return files
    if is_other(argument):
        raise InputError(f"{public(argument)}: not a kind of store that is read; those are {', '.join(SHOWN)}")
    return [(path, "no such file or folder")]  # what else was given is read all the same


def stamp_of(status: os.stat_result) -> str:
    """What is another one as soon as a file is written to, or another file has its name.

    The time of the last change can be set by whoever owns the file (utimensat(2)); that of the last change of its status and
    its inode cannot.
    """
    return f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _archived(path: Path) -> list[Input] | None:
    """The captures in an archive; None for a file that is none, or cannot be opened, which is said when it is read."""
    try:
        with opened(path) as file:
            head = file.read(BLOCK)
    except OSError:
        return None
    if not head.startswith(b"PK") and head[257:262] != b"ustar" and compression_of(head) is None:
        return None
    from auditor.capture import archives

    members = archives.members(path)
    if members is None:
        return None
    return [
        Input(
            one.name,
            path,
            member=one.open,
            size=0 if one.refusal else None,
            stamp=stamp_of(path.stat()),
            refusal=one.refusal,
        )
        for one in members
    ]


def _in_stores(url: str, say: Callable[[str], object] | None) -> list[Input]:
    """What a URL stands for; where its store does not say, one input that cannot be read: others may be."""
    from auditor.capture import remote  # only for stores
    from auditor.stores import client

    client.check(url)
    try:
        found = client.find(url)
    except InputError as error:
        name = public(url)
        return [Input(name, size=0, refusal=str(error).removeprefix(f"{name}: "))]
    return [_of_object(*place) for place in remote.captures(url, found, say)]


def _add_objects(inputs: list[Input], others: Iterable[Input]) -> None:
    """Add objects, each once; what differs in a secret part of its URL alone has a number behind its name."""
    before = {item.remote.url for item in inputs if item.remote is not None}
    names = Counter(item.name for item in inputs)
    for item in others:
        if item.remote is not None and item.remote.url in before:
            continue
        names[item.name] += 1
        if names[item.name] > 1:
            item.name = f"{item.name} ({names[item.name]})"
        inputs.append(item)


def in_store(url: str) -> Input:
    """The one object that a URL names, as it is now. Raises InputError."""
    from auditor.stores import client  # only for stores

    objects = client.find(url).objects
    if len(objects) != 1:
        raise InputError(f"{public(url)}: no such object")
    (one,) = objects
    return Input(one.name, remote=one, size=one.size)


def _of_object(one: "Remote", member: "Member | None") -> Input:
    """An object in a store as an input, or a capture in one that is an archive."""
    if member is None:
        return Input(one.name, remote=one, size=one.size, stamp=one.stamp)
    size = 0 if member.refusal else None
    return Input(member.name, member=member.open, remote=one, size=size, refusal=member.refusal, stamp=one.stamp)


def expand(arguments: Iterable[str | Path], say: Callable[[str], object] | None = None) -> list[Input]:
    """The inputs that the arguments stand for, each once, folders and globs in order of their names.

    ``say`` is called with a sentence on the files of a folder that are no captures. Raises InputError where there is none.
    """
    inputs: list[Input] = []
    seen: set[str] = set()
    for argument in map(str, arguments):
        if argument == "-":
            inputs.append(
                Input("-", stream=sys.stdin.buffer.raw if hasattr(sys.stdin.buffer, "raw") else sys.stdin.buffer)
            )
            continue
        if (url := url_of(argument)) is not None:
            _add_objects(inputs, _in_stores(url, say))
            continue
        for path, refusal in _files_of(argument, say):
            # Not Path.resolve, which raises RuntimeError where links lead in a circle.
            identity = os.path.realpath(path) if refusal is None else str(path.absolute())
            if identity in seen:
                continue
            seen.add(identity)
            if refusal is not None:
                inputs.append(Input(shown(path), size=0, refusal=refusal))
                continue
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                inputs.append(Input(shown(path), path))
                continue
            archived = _archived(path)
            whole = Input(shown(path), path, size=status.st_size, stamp=stamp_of(status))
            inputs += archived if archived is not None else [whole]
    if not inputs:
        raise InputError("there is nothing to read: give at least one capture")
    return inputs
