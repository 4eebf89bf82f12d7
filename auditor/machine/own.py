"""What this user wrote here, told from what others say that he did: sealed with a secret that is in no result.

Whoever prepares a folder of results can write anything into it, with digests that fit. What an audit would take from
there in place of the captures has to be its user's own.
"""

import hmac
import secrets
from contextlib import suppress
from functools import cache

from auditor.machine import objects, trust

NAME = "seal.key"  # in the folder that nobody but this user can write
SIZE = 32  # bytes


@cache
def key() -> bytes:
    """The secret of this user on this machine, made at its first use; where none can be kept, one of this process alone.

    It is asked for before rights are given up: who has them no more could not read it.
    """
    with suppress(trust.UntrustedError, OSError):
        file = objects.folder(make=True) / NAME
        for _ in range(2):  # another audit may have made it meanwhile
            if len(kept := trust.read(file)) == SIZE:
                return kept
            trust.write(file, secrets.token_bytes(SIZE))
        return trust.read(file)
    return secrets.token_bytes(SIZE)


def seal(content: bytes) -> str:
    """What shows that this user wrote something."""
    return hmac.digest(key(), content, "sha256").hex()


def is_own(content: bytes, sealed: object) -> bool:
    """Whether this user has sealed it."""
    return isinstance(sealed, str) and hmac.compare_digest(seal(content).encode(), sealed.encode("utf-8", "replace"))
