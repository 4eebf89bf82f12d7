"""Which of the tables in a router's text is asked: the default VRF's, or that of the only VRF that is given.

Which packets go by other VRFs, and by tables of policies, only the router's interfaces and rules say.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from auditor.paths.routes import Hop

Entry = tuple[str, list[Hop]]  # prefix, next hops among which flows are spread; none: it leads nowhere known
DEFAULT_NAMES = {"", "0", "default", "master", "master4", "master6", "global"}
MAIN_NUMBERS = {"0", "254"}  # Linux's main table, as FRR prints its number
UNICAST = {"IPv4 Unicast", "IPv6 Unicast"}
# Lines that name the table or VRF of what follows, each with the name.
HEADINGS = re.compile(
    r'^(?:IP(?:v6)? (?:Route|Routing) Table for VRF "(?P<nxos>[^"]*)"|Routing Table: (?P<ios>\S+)'
    r"|IPv6 Routing Table - (?P<ios_6>\S+) - \d+ entries|BGP routing table information for VRF (?P<bgp>[^\s,]+).*"
    r"|(?:IPv[46] unicast )?VRF (?P<policy>\S+) table (?P<number>\d+):\s*$|(?:IPv[46] unicast |\[)?VRF(?: name)?:? ?(?P<frr>[^\s:\]]+)[:\]]?\s*$"
    r"|Instance (?P<instance>\S+):\s*$|Routing table for VRF=(?P<forti>\S+)|Table (?P<bird>\S+):\s*$"
    r"|Route Distinguisher: (?P<rd>.*\S)|For address family: (?P<family>.*\S)|(?P<junos>[\w.:-]+): \d+ destinations)"
)


def of_default(text: str, reader: Callable[[Iterable[str]], Iterator[Entry]]) -> Iterator[Entry]:
    """What a reader makes of the default VRF's lines, or of those of the only VRF. Raises ValueError where there are several."""
    tables: dict[str, list[str]] = {"": []}
    name: str | None = ""
    named = False
    for line in text.splitlines():
        if (heading := HEADINGS.match(line)) is not None:
            name = _name(heading)
            named |= name == ""
        elif name is not None:
            tables.setdefault(name, []).append(line.rstrip())
            named |= name == "" and line.startswith("Gateway of last resort")  # IOS names the default VRF nowhere
    routes = reader(tables.pop(""))
    first = next(routes, None)
    if first is not None:
        return chain([first], routes)
    if len(tables) > 1 and not named:
        raise ValueError(f"routes of the VRFs {', '.join(sorted(tables))}: give those of one")
    return reader(next(iter(tables.values()), [])) if not named else routes


def _name(heading: re.Match[str]) -> str | None:
    """A table's name, empty for the default one; None for one by which no packet to an address goes (labels, policies)."""
    name = next(name for name in heading.groups() if name is not None)
    if heading["number"] is not None and heading["number"] not in MAIN_NUMBERS:
        return None
    if heading["family"] is not None:
        return "" if name in UNICAST else None
    if heading["rd"] is not None:
        vrf = re.search(r"\(default for vrf (\S+)\)", name)
        name = vrf[1] if vrf is not None else name
    if heading["junos"] is not None:
        table = re.fullmatch(r"(?:(.*)\.)?inet6?\.0", name)
        if table is None or name.startswith("__"):
            return None
        name = table[1] or ""
    return "" if name in DEFAULT_NAMES else name
