"""Least rights for what reads bytes of strangers: no core dumps, a ceiling of memory, no network where the system allows.

As a program, ``confined.py BYTES PROGRAM ARGUMENT…``, it is what other programs are started by; 0 is no ceiling.
"""

import ctypes
import os
import resource
import sys

SET_NO_NEW_PRIVS = 38  # prctl(2)
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # unshare(2)


def confine(memory: int) -> None:
    """Take rights from this process and all that it starts; it must have one thread still."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what is opened with keys is not left on a disk
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    _leave_network()


def _leave_network() -> None:
    """Move to a network namespace without interfaces; without rights of root by way of a user namespace."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Root needs no user namespace, in which it could not read other users' files any more, unless it has given up the
    # right to make the other. Some kernels and containers forbid both: then the rest has to do.
    unshare = ctypes.CDLL(None).unshare
    if os.geteuid() != 0 or unshare(NEW_NETWORK) != 0:
        unshare(NEW_USER | NEW_NETWORK)


if __name__ == "__main__":
    confine(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for
