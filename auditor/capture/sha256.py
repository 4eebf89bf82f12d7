"""SHA-256 of a file. As a program, ``sha256.py BYTES < FILE``, it is what ``digest`` runs beside an audit.

It imports as little as it can, so that hashing begins at once.
"""

import hashlib
import mmap
import sys

PIECE = 1 << 20  # small enough to stay in a processor's cache between being read and being hashed
BEAT = 64  # pieces


def sha256(file: int, most: int, beat: bool = False) -> tuple[int, str]:
    """How many bytes of an open file (its descriptor) were hashed, up to ``most``, and their digest. Raises OSError.

    ``beat``: print a dot now and then; where nobody is left to read it, that ends the process.
    """
    digest, left, pieces = hashlib.sha256(), most, 0
    # Page-aligned memory is faster to read into, see ``buffers``, which this program cannot import.
    with mmap.mmap(-1, PIECE) as buffer, memoryview(buffer) as view, open(file, "rb", 0, closefd=False) as raw:
        while left and (got := raw.readinto(view[: min(left, PIECE)])):
            digest.update(view[:got])
            left -= got
            pieces += 1
            if beat and pieces % BEAT == 0:
                sys.stdout.write(". ")
                sys.stdout.flush()
    return most - left, digest.hexdigest()


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*sha256(0, int(sys.argv[1]), beat=True)))
