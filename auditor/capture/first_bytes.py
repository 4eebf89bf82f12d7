"""The beginnings of captures, those of objects in stores several at a time."""

import io
from collections.abc import Callable, Sequence
from functools import partial

from auditor.capture.inputs import Input
from auditor.stores import client

MOST_KEPT = 64 << 20  # bytes of all small objects


def beginnings(inputs: Sequence[Input], most: int) -> list[Callable[[], Input | None]]:
    """For each input what opens its beginning: those of objects are asked for several at a time, and come in order.

    Small objects are kept whole, so that they are not asked for again.
    """
    remote = [item.remote for item in inputs if item.remote is not None and item.member is None]
    heads = client.beginnings(remote, most)
    left = MOST_KEPT

    def beginning(item: Input) -> Input | None:
        if item.remote is None or item.member is not None:
            return item.again()
        nonlocal left
        head = next(heads)
        if len(head) == item.size and len(head) <= left:
            left -= len(head)
            item.kept = head
        return Input(item.name, stream=io.BytesIO(head), is_hashed=False) if head else None

    return [partial(beginning, item) for item in inputs]
