"""Whether what goes over public virtual interfaces comes from the prefixes that these may carry: AWS drops the rest."""

from typing import Any

import numpy as np

from auditor.paths.ends import OTHER
from auditor.paths.model import DIRECTIONS, NONE, Flows, is_public
from auditor.paths.site import Network
from auditor.paths.verdict import Verdict
from auditor.prefixes import PrefixSet

Array = np.ndarray[Any, Any]
TRANSLATED = "the source is private here, and the way is not seen: it may be translated before {}"
NO_LINK = "by which of the virtual interfaces is not known"
OUTSIDE, CARRIED, OPEN = 0, 1, -1


def carried(flows: Flows, network: Network, decided: Verdict) -> tuple[Array, Array]:
    """(OUTSIDE, CARRIED or OPEN; why it is open) of each flow; open without words where nothing is asked of it.

    The source is the end on this side of the interface: the client, but for what AWS opens towards the site.
    """
    answer, words = np.full(len(flows), OPEN), np.full(len(flows), None, object)
    asked = [vif for vif in network.topology.virtual_interface if vif.kind == "public" and vif.sources]
    if not asked:
        return answer, words
    link_of = decided.link.objects()
    far = {which: flows.is_aws(which) & is_public(*flows.end(which)) for which in DIRECTIONS}
    over_some = (decided.path.objects() == "direct-connect") & (decided.confidence > NONE)
    words[over_some & (link_of == None) & (far["server"] | far["client"])] = NO_LINK  # noqa: E711
    from_aws = far["client"] & ~far["server"]
    for vif in asked:
        allowed = PrefixSet(vif.sources)
        for near in OTHER:
            mine = over_some & (link_of == vif.name) & (from_aws if near == "server" else ~from_aws)
            covered = allowed.covers(*flows.end(near))
            answer[mine] = np.where(covered[mine], CARRIED, OUTSIDE)
            hidden = mine & ~covered & ~decided.seen & ~is_public(*flows.end(near))
            answer[hidden], words[hidden] = OPEN, TRANSLATED.format(vif.words)
    return answer, words
