"""Flows of whose session several secrets are given by one name: each is tried, the last ones written first."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from auditor.border.words import agreed, counted
from auditor.requests.keys import MOST_TRIED, Keys

if TYPE_CHECKING:
    from auditor.requests.cut import Wanted
    from auditor.requests.decrypt import Dissected

# Of flows, and of how many attempts were made before: what these secrets open.
Attempt = Callable[["Wanted", int], "Dissected"]


def opened(wanted: "Wanted", keys: Keys, attempt: Attempt) -> "Dissected":
    """What is in the wanted flows by the first attempt, and in those that this does not open by further ones."""
    found, earlier = attempt(wanted, 0), set()
    for number in range(1, MOST_TRIED):
        closed = [flow for flow in range(len(wanted)) if number < keys.tries(wanted.randoms[flow])]
        closed = [flow for flow in closed if len(_sides(found, flow)) < 2]
        if not closed or found.failure is not None:
            break
        more = attempt(wanted.take(np.array(closed)), number)
        found.notes += [note for note in more.notes if note not in found.notes]
        found.failure = more.failure
        for at, flow in enumerate(closed):
            if len(_sides(more, at)) > len(_sides(found, flow)):
                _replace(found, flow, more, at)
                earlier.add(flow)
    if earlier:
        count = len(earlier)
        found.notes.append(
            f"{counted(count, 'flow')} {agreed(count, 'is', 'are')} opened by secrets that the keys given replace by others of the same name further on"
        )
    return found


def _sides(found: "Dissected", flow: int) -> set[bool]:
    """Whose data of a flow could be read: the client's (true), the server's."""
    return {is_client for is_client in (True, False) if (flow, is_client) in found.opened}


def _replace(found: "Dissected", flow: int, more: "Dissected", at: int) -> None:
    """Take what a further attempt found in a flow, there by the number ``at``, in place of what there was."""
    found.partial.pop(flow, None)
    if at in more.partial:
        found.partial[flow] = more.partial[at]
    found.requests = [row for row in found.requests if row["flow"] != flow]
    found.requests += [row | {"flow": flow} for row in more.requests if row["flow"] == at]
    found.opened |= {(flow, is_client) for is_client in _sides(more, at)}
    if at in more.revealed:
        found.revealed[flow] = more.revealed[at]
