"""Second stage: the way that the flows of a batch took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.audit.described import Described
from auditor.audit.described_facts import DescribedFacts
from auditor.decode.control import Control
from auditor.paths.judge import Judge, Judgement, concatenated
from auditor.paths.path_tables import evidence_table
from auditor.policy.facts import NO, YES, fact
from auditor.prefixes import PrefixSet
from auditor.tables.columns import Texts

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Located:
    """A batch of flows whose paths are judged."""

    described: Described
    way: Judgement
    vpcs: PrefixSet  # prefixes of the site's VPCs

    def __len__(self) -> int:
        return len(self.described)


def locate(batches: Sequence[Described], judge: Judge, control: Control) -> tuple[list[Located], pa.Table]:
    """Batches of one capture with their paths, and the rows of ``evidence``: all are judged together."""
    flows = concatenated([batch.flows for batch in batches])
    judgement, evidence = judge.judge(flows, control)
    located, begin = [], 0
    for batch in batches:
        end = begin + len(batch)
        located.append(Located(batch, judgement.part(begin, end), judge.network.vpcs))
        begin = end
    return located, evidence_table(flows, evidence)


class LocatedFacts(DescribedFacts):
    """What rules may ask of the way that flows took, besides."""

    def __init__(self, located: Located) -> None:
        super().__init__(located.described)
        self.located = located

    @fact
    def path(self) -> Texts:
        """The path."""
        return self.located.way.verdict.path

    @fact
    def path_confidence(self) -> Array:
        """How well the evidence proves it: a code of CONFIDENCE_NAMES."""
        return self.located.way.verdict.confidence

    @fact
    def path_detail(self) -> Texts:
        """The evidence that decided, in words."""
        return self.located.way.verdict.detail

    @fact
    def path_seen(self) -> Array:
        """Packets of every direction seen, or rows about them, show the path: not addresses and routes alone."""
        return self.located.way.verdict.seen

    @fact
    def asymmetric(self) -> Array:
        """three-valued: the two directions went different ways."""
        return self.located.way.verdict.asymmetric

    @fact
    def path_over(self) -> Array:
        """Path of what carries a VPN; None where that is not known, or it is none."""
        return self.located.way.verdict.over

    @fact
    def path_changed(self) -> Array:
        """What the path changed from, and when, in words; None where it did not."""
        return self.located.way.changed

    @fact
    def source_carried(self) -> Array:
        """Three-valued: over a public virtual interface, from an address that it carries."""
        return self.located.way.source_carried

    @fact
    def source_open(self) -> Array:
        """Why it is not known whether a public virtual interface carries the source; None where that is not asked."""
        return self.located.way.source_open

    @fact
    def private_dns_missing(self) -> Array:
        """The endpoint that the name should have led to."""
        return self.located.way.private_dns_missing

    @fact
    def other_region(self) -> Array:
        """To an interface endpoint of another Region, in words."""
        return self.located.way.other_region

    @fact
    def disagreement(self) -> Array:
        """What a witness says otherwise."""
        return self.located.way.disagreement

    @fact
    def in_region(self) -> Array:
        """YES: both ends are inside AWS as far as the capture shows."""
        ends = self.described.ends
        return np.where(
            self.located.way.inside_aws | self.located.vpcs.covers(ends.client_high, ends.client_low), YES, NO
        )
