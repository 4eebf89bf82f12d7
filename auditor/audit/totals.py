"""What adds up over an audit: one value, of which a part of the audit has one as well."""

from dataclasses import dataclass, field

from auditor.paths.path_totals import PathTotals
from auditor.paths.round_trips import RoundTrips
from auditor.paths.witnesses import WitnessTotals
from auditor.policy.totals import Summary, VerdictTotals
from auditor.reading.captures import Captures
from auditor.tls.certificates import Certificates
from auditor.tls.hello_tries import HelloTries


@dataclass(eq=False, repr=False)
class Totals:
    """What adds up over an audit or a part of it: some of its batches, one of its captures, one worker's share.

    Each room gives a part, with a function from it to the table or to the entry of the manifest that it fills. Parts
    merge in any order and grouping to the same value.
    """

    captures: Captures = field(default_factory=Captures)
    certificates: Certificates = field(default_factory=Certificates)
    round_trips: RoundTrips = field(default_factory=RoundTrips)
    paths: PathTotals = field(default_factory=PathTotals)
    witnesses: WitnessTotals = field(default_factory=WitnessTotals)
    verdicts: VerdictTotals = field(default_factory=VerdictTotals)
    summary: Summary = field(default_factory=Summary)
    hellos: HelloTries = field(default_factory=HelloTries)

    def merge(self, other: "Totals") -> "Totals":
        """What both add up to; neither is added to after that."""
        return Totals(
            captures=self.captures.merge(other.captures),
            certificates=self.certificates.merge(other.certificates),
            round_trips=self.round_trips.merge(other.round_trips),
            paths=self.paths.merge(other.paths),
            witnesses=self.witnesses.merge(other.witnesses),
            verdicts=self.verdicts.merge(other.verdicts),
            summary=self.summary.merge(other.summary),
            hellos=self.hellos.merge(other.hellos),
        )
