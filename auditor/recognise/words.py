"""Texts that bytes are compared with."""

import numpy as np
from numpy.typing import NDArray

from auditor.decode.bytes import Bytes
from auditor.machine.kernel import part


def matrix(texts: tuple[bytes, ...]) -> tuple[Bytes, NDArray[np.int64]]:
    """Texts as the rows of an array, and their lengths."""
    lengths = np.array([len(text) for text in texts], np.int64)
    rows = np.zeros((len(texts), int(lengths.max())), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows, lengths


@part
def stands_at(data: Bytes, at: int, end: int, word: Bytes) -> bool:
    """Whether ``word`` stands at ``at``, as it is written, before ``end``."""
    if at + len(word) > end:
        return False
    for k in range(len(word)):
        if data[at + k] != word[k]:
            return False
    return True


@part
def same_word(data: Bytes, at: int, word: Bytes) -> bool:
    """Whether ``word`` (lower case) stands at ``at``, in any case."""
    for k in range(len(word)):
        byte = int(data[at + k])
        if 65 <= byte <= 90:
            byte += 32
        if byte != word[k]:
            return False
    return True


@part
def which_stands_at(data: Bytes, at: int, end: int, texts: Bytes, lengths: NDArray[np.int64]) -> int:
    """Which of several texts, the rows of ``matrix``, stands at ``at``; -1 for none."""
    for row in range(lengths.size):
        if stands_at(data, np.int64(at), end, texts[row, : lengths[row]]):
            return np.int64(row)
    return np.int64(-1)
