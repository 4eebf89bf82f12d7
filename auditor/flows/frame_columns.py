"""Columns of frames: their numbers, and the captures that they are in."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.decode.frames import BITS, COUNT, Apart
from auditor.tables.columns import Numbers, Texts

Array = np.ndarray[Any, Any]


def numbers(frames: Array) -> Numbers:
    """Frames as numbers in their captures."""
    return Numbers(frames & COUNT, frames == 0)


def names(frames: Array, captures: Sequence[str]) -> Texts:
    """The captures that frames are in."""
    return Texts(list(captures), np.where(frames == 0, -1, frames >> BITS))


def wholes(frames: Array, captures: Sequence[str]) -> Array:
    """Which part of what is audited as one each frame is in: the number of its capture where each is audited apart, else 0."""
    return frames >> BITS if isinstance(captures, Apart) else np.zeros(len(frames), np.int64)
