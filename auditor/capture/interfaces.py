"""The capture interfaces of all captures that are read as one: each has one number, in whichever files it is described."""

from dataclasses import dataclass, field


@dataclass(eq=False, repr=False)
class Interfaces:
    """Names and link types by number.

    Files of a rotation and sections of a pcapng describe the same interfaces again: one is known by its link type and
    name, and where a section has several of them, by which of these it is.
    """

    names: list[str | None] = field(default_factory=list)
    link_types: list[int] = field(default_factory=list)
    numbers: dict[tuple[int, str | None, int], int] = field(default_factory=dict)

    def number(self, link_type: int, name: str | None = None, place: int = 0) -> int:
        """The number of an interface; ``place``: how many like it its section has before."""
        key = link_type, name, place
        if key not in self.numbers:
            self.numbers[key] = len(self.names)
            self.names.append(name)
            self.link_types.append(link_type)
        return self.numbers[key]
