"""What reading a capture shows besides its packets."""

from dataclasses import dataclass, field

from auditor.decode.link_names import link_name


@dataclass(eq=False, repr=False)
class Notes:
    """What reading a capture showed besides its packets."""

    format: str = "pcap"
    compression: str | None = None
    link_types: list[int] = field(default_factory=list)
    status: str = "complete"
    damage_offset: int | None = None
    warnings: list[str] = field(default_factory=list)
    failure: str | None = None  # why it could be read no further, which is no fault of the capture

    def damaged(self, what: str, offset: int | None = None) -> None:
        """Note damage, if it is the first; ``offset``: where, as far as that is known."""
        if self.status == "complete":
            self.status = "damaged"
            self.damage_offset = offset
            where = "" if offset is None else f" at byte {offset}"
            self.warnings.append(f"{what}{where}: everything before it is reported")

    def fault(self, what: str, offset: int | None = None) -> None:
        """Note a fault of ours: reading ends there, and the audit has an error."""
        self.damaged(what, offset)
        self.failure = self.failure or what

    def link_names(self) -> str | None:
        return " ".join(link_name(t).replace(" ", "-") for t in dict.fromkeys(self.link_types)) or None
