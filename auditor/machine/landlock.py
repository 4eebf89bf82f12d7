"""Landlock: a process forbids itself, and all that it starts, to change files elsewhere, or to talk to the network.

Numbers are those of ``linux/landlock.h``; landlock(7) says which version of the interface brought what.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all processors
VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
PATH_BENEATH = 1
WRITE_FILE, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
MAKE = sum(1 << bit for bit in range(6, 13))  # devices, folders, files, sockets, pipes, links
REFER, TRUNCATE = 1 << 13, 1 << 14  # since versions 2 and 3
TO_BE_REACHED, TO_REACH = 1, 2  # by TCP, since version 4
TCP = TO_BE_REACHED | TO_REACH
OF_FILES = WRITE_FILE | TRUNCATE  # what can be allowed of a file that is no folder


def _call(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))


def version() -> int:
    """Which version of the interface the kernel has; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION)))


def _writing(has: int) -> int:
    """What changes files, as far as a version can forbid it."""
    return WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE | (REFER if has >= 2 else 0) | (TRUNCATE if has >= 3 else 0)


def restrict(places: Iterable[Path], tcp: int = TCP) -> bool:
    """Let nothing be changed but in these places, and no TCP be spoken; whether the kernel can forbid that.

    ``tcp``: what of it is forbidden. It holds for the calling thread and those that it starts later. New privileges must have been given up before.
    """
    has = version()
    if has == 0:
        return False
    writing = _writing(has)
    attributes = struct.pack("=QQ", writing, tcp) if has >= 4 else struct.pack("=Q", writing)
    ruleset = _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for place in places:
            _allow(ruleset, place, writing)
        return _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, place: Path, writing: int) -> None:
    """Leave a place out of what is forbidden; one that is not there needs none."""
    with suppress(OSError):
        number = os.open(place, os.O_PATH | os.O_CLOEXEC)
        allowed = writing if place.is_dir() else writing & OF_FILES
        try:
            rule = struct.pack("=Qi", allowed, number)
            _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint32(0))
        finally:
            os.close(number)
