"""The one door by which files are written: whole or not at all, for this user only, and over nothing that is not meant.

A file is written under a new random name beside its target, opened so that neither a link nor a file of that name can be
there, and takes the target's place when it is complete and on the disk. Folders are held open meanwhile: whoever exchanges
one for a link changes nothing. Whatever ends the work, an error or a signal that raises, the new name goes.
"""

import fcntl
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from auditor.errors import AuditError, shown

FILE, FOLDER = 0o600, 0o700
NEW = ".audit-"  # begins the names of what is not complete yet
KINDS = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"), (stat.S_ISFIFO, "a pipe"))
WAIT, RETRY = 20.0, 0.02  # seconds for which a folder that is locked is waited for: files are exchanged in far less
SETTLED = 60  # seconds after which what is new is locked, if anybody writes to it
Identity = tuple[int, int]  # of a file, by whatever name: its device and its number there


def identity(path: Path) -> Identity | None:
    """Which file a name leads to, through links; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def identities(paths: Iterable[Path]) -> set[Identity]:
    """Which files the names lead to."""
    return {known for path in paths if (known := identity(path)) is not None}


def may_replace(target: Path, inputs: Collection[Identity] = (), *, force: bool = False) -> bool:
    """Whether there is a file to be replaced. Raises AuditError where that must not be, or not without being asked for.

    ``inputs``: what is read, which is never written to.
    """
    try:
        status = target.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise AuditError(f"{shown(target)}: {error.strerror}") from error
    if identity(target) in inputs:
        raise AuditError(f"{shown(target)}: is one of the files that are read; give another name to write to")
    if not stat.S_ISREG(status.st_mode):
        kind = next((words for is_kind, words in KINDS if is_kind(status.st_mode)), "a device")
        raise AuditError(f"{shown(target)}: is {kind}; only a file can be written to: give another name")
    if status.st_uid != os.geteuid():
        raise AuditError(f"{shown(target)}: belongs to another user; give another name")
    if not force:
        raise AuditError(f"{shown(target)}: exists already; give another name, or --force to overwrite it")
    return True


@contextmanager
def whole(target: Path, inputs: Collection[Identity] = (), *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which is there whole or not at all. Raises AuditError where it cannot or must not be written."""
    replace = may_replace(target, inputs, force=force)
    try:
        with replaced(target, replace=replace) as file:
            yield file
    except FileExistsError as error:  # it came meanwhile
        raise AuditError(f"{shown(target)}: exists already; give another name, or --force to overwrite it") from error
    except OSError as error:
        raise AuditError(f"{shown(target)}: cannot be written: {error.strerror or error}") from error


@contextmanager
def replaced(target: Path, *, replace: bool = True, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``target`` at the end, or only a free place. Raises OSError.

    ``durable``: it is on the disk by then. Without that it outlives the process, and perhaps not the machine.
    """
    with held(target.parent) as folder:
        new = _new_name()
        try:
            with new_file(new, folder) as file:
                yield file
                if durable:
                    _sync(file)
            _rename(new, target.name, folder, replace=replace)
        except BaseException:
            with suppress(OSError):
                os.unlink(new, dir_fd=folder)
            raise
        if durable:
            _sync_folder(folder)


def new_file(name: str, folder: int) -> BinaryIO:
    """A new file of that name in a folder that is held open, for this user only. Raises OSError, also where there is one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(name, flags, FILE, dir_fd=folder)
    _lock(number)
    return os.fdopen(number, "wb")


def make_folder(folder: Path) -> None:
    """Make a folder for this user only, and those on the way to it, where they are not there. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
    for one in reversed(missing):
        one.mkdir(FOLDER, exist_ok=True)


@contextmanager
def held(folder: Path, *, follow: bool = True) -> Iterator[int]:
    """A folder, open. Raises OSError where it is none; where links are not followed, also for a link."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def locked(folder: Path, *, follow: bool = False) -> Iterator[int]:
    """A folder, open, in which nobody else exchanges files meanwhile. Raises OSError, as ``held`` does.

    Whoever may list a folder can lock it for as long as they like: AuditError is raised where somebody does.
    """
    with held(folder, follow=follow) as number:
        end = time.monotonic() + WAIT
        while not _lock(number):
            if time.monotonic() > end:
                raise AuditError(f"{shown(folder)}: another program has kept it locked (flock) for {WAIT:.0f} s")
            time.sleep(RETRY)
        yield number


def _lock(number: int) -> bool:
    """Lock an open file or folder until it is closed: of what is new it says that somebody still writes to it.

    False where somebody else has locked it.
    """
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # not every file system can
        pass
    return True


def _new_name() -> str:
    return f"{NEW}{os.urandom(8).hex()}"


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: int) -> None:
    with suppress(OSError):  # not every file system can
        os.fsync(folder)


def _rename(new: str, name: str, folder: int, *, replace: bool) -> None:
    if not replace:
        try:
            os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: it was looked before whether the name is free
            pass
        else:
            os.unlink(new, dir_fd=folder)
            return
    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)


def open_standard_files() -> None:
    """Let none of standard input, output and error be closed: else a file of ours would get its number.

    Input has an end at once; what is written to output fails as it would where it is closed; what is said to nobody is lost.
    """
    for name, way, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, way), mode))


@contextmanager
def working(folder: Path, fits: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """A folder in another one, for what is needed meanwhile: nobody takes it for one that was left, and it goes at the end.

    ``fits``: of one that was left, whether it may be gone on with; then what is interrupted is left as well.
    """
    with ExitStack() as stack:
        new = (
            None
            if fits is None
            else next((one for one in folder.absolute().glob(f"{NEW}*") if _take(one, fits, stack)), None)
        )
        remove_left(folder)
        if new is None:
            new = folder.absolute() / _new_name()
            new.mkdir(FOLDER)
            _lock(stack.enter_context(held(new, follow=False)))
        try:
            yield new
        except KeyboardInterrupt:
            if fits is None:
                shutil.rmtree(new, ignore_errors=True)
            raise
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        shutil.rmtree(new, ignore_errors=True)


def _take(left: Path, fits: Callable[[Path], bool], stack: ExitStack) -> bool:
    """Lock a folder that was left, where nobody else has it and it fits."""
    with suppress(OSError), ExitStack() as own:
        number = own.enter_context(held(left, follow=False))
        if os.fstat(number).st_uid == os.geteuid():
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if fits(left):
                stack.push(own.pop_all())
                return True
    return False


class FolderWrite:
    """Files that come into a folder together, or not at all.

    They are written in a new folder inside of it. ``last`` are the names that make the folder what it is: when files are
    exchanged they go first and come last, so that nobody takes a mixture for whole. Methods raise OSError.
    """

    def __init__(self, folder: Path, last: Sequence[str], *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self._last = last
        self._durable = durable
        self._files: dict[str, BinaryIO] = {}
        self._new = self.folder / _new_name()
        self._held: int | None = None

    def open(self, name: str) -> BinaryIO:
        """A new file."""
        self._files[name] = new_file(name, self._place())
        return self._files[name]

    def _place(self) -> int:
        """The new folder, which is held open."""
        if self._held is None:
            remove_left(self.folder)
            self._new.mkdir(FOLDER)
            self._held = os.open(self._new, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            _lock(self._held)
        return self._held

    def take(self, name: str, file: Path) -> None:
        """A file that somebody else has written, in the same file system, is one of them."""
        os.rename(file, name, dst_dir_fd=self._place())
        self.include(name)

    def include(self, name: str) -> None:
        """A file that was written where they lie is one of them."""
        self._files[name] = (self._new / name).open("ab")

    @property
    def place(self) -> Path:
        """Where they lie until they are put in place."""
        return self._new

    def has(self, name: str) -> bool:
        """Whether there is such a file among them."""
        return name in self._files

    def close(self, name: str) -> Path:
        """A file is complete; where it can be read meanwhile."""
        file = self._files[name]
        if not file.closed:
            if self._durable:
                _sync(file)
            file.close()
        return self._new / name

    def finish(self, older: Callable[[Path], Iterable[str]] = lambda _: ()) -> None:
        """Put the files in place of older ones: those of the folder that ``older`` names go."""
        for name in self._files:
            self.close(name)
        with locked(self.folder) as folder:
            for name in dict.fromkeys([*self._last, *older(self.folder)]):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
            for name in sorted(self._files, key=self._order):
                os.rename(name, name, src_dir_fd=self._held, dst_dir_fd=folder)
            self._leave()
            if self._durable:
                _sync_folder(folder)

    def _order(self, name: str) -> int:
        return self._last.index(name) if name in self._last else -1

    def abandon(self, *, but: Collection[str] = ()) -> None:
        """Leave nothing of the new files ``but`` some, for whoever goes on with them."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        if but and self._held is not None:
            for name in set(self._files).difference(but):
                with suppress(OSError):
                    os.unlink(name, dir_fd=self._held)
            os.close(self._held)
            self._held = None
            return
        self._leave()

    def _leave(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None
        shutil.rmtree(self._new, ignore_errors=True)


def is_new(name: str) -> bool:
    """Whether it is the name of something that was not complete yet."""
    return name.startswith(NEW)


def remove_left(folder: Path) -> None:
    """Remove what was left in a folder of ours by those that were killed."""
    for left in folder.glob(f"{NEW}*"):
        try:
            number = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # a link, or gone
            continue
        try:
            status = os.fstat(number)
            if status.st_uid == os.geteuid() and status.st_mtime < time.time() - SETTLED:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:  # somebody writes to it
            continue
        finally:
            os.close(number)
