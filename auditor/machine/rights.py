"""Giving up rights before bytes of strangers are parsed: for the command line, whose process is its own.

Whoever captures starts with the rights of root, or an audit is run by root for whatever reason. What parses needs none of
them. It becomes the user who called ``sudo``, or nobody; where that user could not read what is to be read, the program's
own libraries included, or not write the results, root stays root, but without most of what root may do. Either way
nothing is changed outside of the places for results, no TCP is spoken and no memory is dumped, as far as the kernel can.
"""

import ctypes
import os
import pwd
import resource
import struct
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from auditor.machine import landlock, objects, trust

SET_DUMPABLE, CAPBSET_DROP, SET_NO_NEW_PRIVS = 4, 24, 38  # prctl(2)
CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities(7): files of others, for whoever audits them as root
KEPT = 1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH
LAST_CAPABILITY = 63
NO_ID = (1 << 32) - 1  # (uid_t) -1, chown(2)
NOBODY = "nobody"
MOST_LOOKED_AT = 10_000  # files of a folder
DEVICES = (Path("/dev/null"), Path("/dev/tty"))
CREDENTIALS = (".aws", ".azure", ".config/gcloud")  # in a home: where tools of stores keep what they renew


class User(NamedTuple):
    """Who an audit that was started by root goes on as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def invoking(*, keeps: bool) -> User | None:
    """Who called ``sudo``; nobody where root did not, unless something ``keeps``: results have to be root's own then."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    try:
        if uid.isdigit() and gid.isdigit() and 0 < int(uid) < NO_ID and int(gid) < NO_ID:
            try:
                one = pwd.getpwuid(int(uid))
            except KeyError:  # a user that is known elsewhere
                return User(int(uid), int(gid), (int(gid),), "/")
            return User(one.pw_uid, int(gid), tuple(os.getgrouplist(one.pw_name, int(gid))), one.pw_dir)
        one = pwd.getpwnam(NOBODY)
    except KeyError:
        return None
    return None if keeps else User(one.pw_uid, one.pw_gid, (), "/")


def give_up(reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """Take rights from this process and all that it starts: those that reading and writing these do not need.

    It must be called by the main thread, before there are others that parse.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    results = list(writes)
    places = [*map(_folder, results), Path(tempfile.gettempdir())]
    if os.geteuid() == 0:
        user = invoking(keeps=bool(results))
        if user is not None and _can(user, [*_everything(reads), *_libraries()], places):
            _become(user)
        else:
            _stay_root_with_less()
    _seal()
    landlock.restrict([*places, *DEVICES, *_kept_code()])


def keep_network() -> None:
    """Take from this process all rights but those to read files, to reach others, and to renew the user's credentials."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    if os.geteuid() == 0:
        _stay_root_with_less()
    _seal()
    kept = [Path.home() / name for name in CREDENTIALS]
    landlock.restrict([*kept, Path(tempfile.gettempdir()), *DEVICES], landlock.TO_BE_REACHED)


def _seal() -> None:
    """Let nobody look into this process, and no program that it starts have more rights."""
    libc = ctypes.CDLL(None)
    libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)  # secrets are in memory; nor may other processes of this user look into it
    libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _kept_code() -> Iterator[Path]:
    """Where machine code of kernels that come later is kept."""
    with suppress(trust.UntrustedError):
        yield objects.folder()


def _folder(path: Path) -> Path:
    """The folder in which a file or folder is, or will be made."""
    absolute = path.absolute()
    return next(one for one in (absolute, *absolute.parents) if one.is_dir())


def _everything(paths: Iterable[Path]) -> Iterator[Path]:
    """What is there of files and folders, with what is in these."""
    for path in paths:
        if path.exists():
            yield path
            yield from islice(path.rglob("*"), MOST_LOOKED_AT if path.is_dir() else 0)


def _libraries() -> Iterator[Path]:
    """Where modules are loaded from later on."""
    for name in (*sys.path, sys.prefix, sys.base_prefix, str(Path(__file__).parent)):
        if Path(name).is_absolute() and os.path.lexists(name):
            yield Path(name)


def _can(user: User, reads: Iterable[Path], writes: Iterable[Path]) -> bool:
    """Whether a user may read and write what is to be read and written; tried by being that user for a moment."""
    listed, groups = list(reads), os.getgroups()
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        may = all(os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True) for path in listed)
        return may and all(os.access(path, os.W_OK | os.X_OK, effective_ids=True) for path in writes)
    except OSError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _become(user: User) -> None:
    """Be another user from now on, for good."""
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.environ["HOME"] = user.home


def _stay_root_with_less() -> None:
    """Keep nothing of what root may do but to read and write files; programs that are started get no more than that."""
    libc = ctypes.CDLL(None)
    for number in range(LAST_CAPABILITY + 1):
        if not KEPT >> number & 1:
            libc.prctl(CAPBSET_DROP, number, 0, 0, 0)  # those that the kernel does not know are none
    halves: Sequence[int] = [half for part in (KEPT & 0xFFFFFFFF, KEPT >> 32) for half in (part, part, 0)]
    libc.capset(struct.pack("=Ii", CAPABILITIES, 0), struct.pack("=6I", *halves))
