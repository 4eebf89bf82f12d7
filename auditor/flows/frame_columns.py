"""Columns of frames: their numbers, and the captures that they are in."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.decode.frames import BITS, COUNT
from auditor.tables.columns import Numbers, Texts

Array = np.ndarray[Any, Any]


def numbers(frames: Array) -> Numbers:
    """Frames as numbers in their captures."""
    return Numbers(frames & COUNT, frames == 0)


def names(frames: Array, captures: Sequence[str]) -> Texts:
    """The captures that frames are in."""
    return Texts(list(captures), np.where(frames == 0, -1, frames >> BITS))
