"""The four steps from evidence to a path, case by case as their tables have them."""

import numpy as np
import pytest

from auditor.paths.model import CONFIRMED, LIKELY, NONE, SEEN, STRENGTH, Evidence
from auditor.paths.verdict import CODE, PATHS, Direction, joined, sharpened, strongest, weighed
from auditor.tables.value_sets import EVIDENCE

DX, VPN, VPC, PRIVATE, UNKNOWN, INTERNET = "direct-connect", "vpn", "vpc", "private", "unknown", "internet"
Piece = tuple[str, str, int]  # kind, path, confidence
Expected = tuple[str, int]  # path, confidence


def numbered(*pieces: Piece) -> list[tuple[int, Evidence]]:
    """Pieces of evidence about the only flow."""
    mask = np.array([True])
    return [(k, Evidence(mask, "client", *piece, detail="")) for k, piece in enumerate(pieces)]


def direction(path: str, confidence: int, best: int = 0, against: int = -1, opposed: int = 0) -> Direction:
    return Direction(*(np.array([value]) for value in (CODE[path], confidence, best, against, opposed)))


@pytest.mark.parametrize(
    ("pieces", "best", "expected"),
    [
        ([], -1, (UNKNOWN, NONE)),
        ([("router", INTERNET, LIKELY), ("contrary", DX, NONE)], -1, (UNKNOWN, NONE)),
        ([("prefix", VPN, CONFIRMED), ("vlan", DX, LIKELY)], 1, (DX, LIKELY)),
        ([("vlan", DX, LIKELY), ("prefix", VPN, CONFIRMED)], 0, (DX, LIKELY)),
        ([("vlan", DX, LIKELY), ("vlan", VPN, LIKELY)], 0, (DX, LIKELY)),
    ],
)
def test_the_strongest_leads(pieces: list[Piece], best: int, expected: Expected) -> None:
    """Strength decides, not confidence; of equals the first; what has no strength never leads."""
    lead = strongest(1, numbered(*pieces))
    assert lead.best.tolist() == [best]
    assert (PATHS[lead.path[0]], lead.confidence[0]) == expected
    assert lead.strength[0] == (STRENGTH[pieces[best][0]] if best >= 0 else 0)


def test_evidence_counts_only_for_its_flows() -> None:
    """What a mask leaves out is not led by it."""
    item = Evidence(np.array([True, False]), "client", "vlan", DX, LIKELY, "")
    assert strongest(2, [(0, item)]).best.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("pieces", "best", "expected"),
    [
        ([("vlan", INTERNET, LIKELY), ("prefix", VPN, LIKELY)], 0, (INTERNET, LIKELY)),
        ([("route", PRIVATE, LIKELY), ("address", INTERNET, LIKELY)], 0, (PRIVATE, LIKELY)),
        ([("route", PRIVATE, LIKELY), ("prefix", VPN, NONE)], 0, (PRIVATE, LIKELY)),
        ([("route", PRIVATE, LIKELY), ("prefix", VPN, LIKELY)], 1, (VPN, LIKELY)),
        ([("route", PRIVATE, LIKELY), ("prefix", VPN, CONFIRMED)], 1, (VPN, LIKELY)),
        ([("route", PRIVATE, LIKELY), ("address", VPC, LIKELY), ("prefix", DX, LIKELY)], 2, (DX, LIKELY)),
    ],
)
def test_private_is_sharpened(pieces: list[Piece], best: int, expected: Expected) -> None:
    """Only "private" is sharpened, by the strongest that says which, and keeps its own confidence."""
    evidence = numbered(*pieces)
    lead = sharpened(strongest(1, evidence), evidence)
    assert lead.best.tolist() == [best]
    assert (PATHS[lead.path[0]], lead.confidence[0]) == expected
    assert (lead.strength[0], lead.finer[0]) == (STRENGTH[pieces[0][0]], STRENGTH[pieces[best][0]])


@pytest.mark.parametrize(
    ("pieces", "expected", "against"),
    [
        ([("contrary", DX, NONE)], (UNKNOWN, NONE), 0),
        ([("vlan+mac", DX, CONFIRMED), ("attachment", INTERNET, LIKELY)], (DX, LIKELY), 1),
        ([("vlan+mac", DX, CONFIRMED), ("vlan", INTERNET, LIKELY)], (DX, CONFIRMED), 1),
        ([("vlan", DX, LIKELY), ("bgp", INTERNET, LIKELY)], (DX, LIKELY), 1),
        ([("vlan", DX, LIKELY), ("bgp", INTERNET, NONE)], (DX, LIKELY), -1),
        ([("vlan", DX, LIKELY), ("vlan", VPN, LIKELY)], (PRIVATE, LIKELY), 1),
        ([("vlan", DX, LIKELY), ("vlan", INTERNET, LIKELY)], (UNKNOWN, NONE), 1),
        ([("vlan", VPC, LIKELY), ("vlan", VPN, LIKELY)], (UNKNOWN, NONE), 1),
        ([("vlan", DX, LIKELY), ("vlan", PRIVATE, LIKELY)], (DX, LIKELY), -1),
        ([("vlan", DX, LIKELY), ("contrary", DX, NONE)], (DX, LIKELY), 1),
        # As strong as a confirmed lead: it becomes likely, and then nothing is left of it.
        ([("interface+vlan", DX, CONFIRMED), ("pppoe", INTERNET, CONFIRMED)], (UNKNOWN, NONE), 1),
        # "private" as strong as a route, sharpened by a prefix: a VPN's prefix ties, the internet's does not.
        ([("route", PRIVATE, LIKELY), ("prefix", DX, LIKELY), ("prefix", VPN, LIKELY)], (PRIVATE, LIKELY), 2),
        ([("route", PRIVATE, LIKELY), ("prefix", DX, LIKELY), ("prefix", INTERNET, LIKELY)], (DX, LIKELY), 2),
    ],
)
def test_what_speaks_against_the_lead(pieces: list[Piece], expected: Expected, against: int) -> None:
    """A conflict weakens what is confirmed from an attachment on, and leaves nothing of a likely lead that is no stronger."""
    evidence = numbered(*pieces)
    way = weighed(sharpened(strongest(1, evidence), evidence), evidence)
    assert (PATHS[way.path[0]], way.confidence[0]) == expected
    assert way.against.tolist() == [against]
    assert way.opposed[0] == (max(STRENGTH[pieces[against][0]], 1) if against >= 0 else 0)


STRONG = STRENGTH["attachment"]
BOTH_SEEN = (np.array([False]), np.array([False]))  # flows without packets of the client, and of the server


@pytest.mark.parametrize(
    ("client", "server", "expected", "best", "asymmetric"),
    [
        (direction(DX, LIKELY), direction(UNKNOWN, NONE, 1), (DX, LIKELY), 0, None),
        (direction(UNKNOWN, NONE, -1), direction(VPN, LIKELY, 1), (VPN, LIKELY), 1, None),
        (direction(DX, LIKELY), direction(DX, LIKELY, 1), (DX, LIKELY), 0, False),
        (direction(DX, LIKELY), direction(INTERNET, LIKELY, 1), (DX, LIKELY), 0, True),
        (direction(DX, CONFIRMED), direction(INTERNET, LIKELY, 1), (DX, LIKELY), 0, True),
        (direction(DX, LIKELY), direction(INTERNET, CONFIRMED, 1), (INTERNET, LIKELY), 1, True),
        (direction(DX, CONFIRMED), direction(DX, CONFIRMED, 1), (DX, CONFIRMED), 0, False),
        (direction(DX, CONFIRMED), direction(DX, LIKELY, 1), (DX, LIKELY), 0, False),
        (direction(DX, CONFIRMED), direction(UNKNOWN, NONE, -1), (DX, LIKELY), 0, None),
        (direction(PRIVATE, CONFIRMED), direction(VPN, LIKELY, 1), (VPN, LIKELY), 1, False),
        (direction(PRIVATE, LIKELY), direction(PRIVATE, LIKELY, 1), (PRIVATE, LIKELY), 0, False),
        (direction(DX, CONFIRMED), direction(DX, LIKELY, 1, opposed=STRONG), (DX, LIKELY), 0, False),
        (direction(DX, CONFIRMED), direction(DX, CONFIRMED, 1, opposed=STRONG - 1), (DX, CONFIRMED), 0, False),
        (direction(UNKNOWN, NONE, -1), direction(UNKNOWN, NONE, -1), (UNKNOWN, NONE), -1, None),
    ],
)
def test_both_directions(
    client: Direction, server: Direction, expected: Expected, best: int, asymmetric: bool | None
) -> None:
    """The better proven direction gives the path, the client's where both are alike; asymmetric only if both are known."""
    flow = joined(client, server, np.array([False]), BOTH_SEEN)
    assert (PATHS[flow.path[0]], flow.confidence[0]) == expected
    assert flow.best.tolist() == [best]
    assert (bool(flow.differ[0]) if flow.both[0] else None) is asymmetric


@pytest.mark.parametrize(("at_home", "path"), [(True, PRIVATE), (False, UNKNOWN)])
def test_nothing_known(at_home: bool, path: str) -> None:
    """Where nothing is known, addresses that are not public make it private, with no confidence."""
    nothing = direction(UNKNOWN, NONE, -1)
    flow = joined(nothing, nothing, np.array([at_home]), BOTH_SEEN)
    assert (PATHS[flow.path[0]], flow.confidence[0], bool(flow.known[0])) == (path, NONE, False)


@pytest.mark.parametrize(
    ("client", "server", "against"),
    [
        (direction(DX, LIKELY, against=5), direction(DX, LIKELY, against=6), 5),
        (direction(DX, LIKELY), direction(DX, LIKELY, against=6), 6),
        (direction(DX, LIKELY, against=5), direction(DX, CONFIRMED, against=6), 6),
        (direction(DX, LIKELY, against=5), direction(DX, CONFIRMED), 5),
        (direction(DX, LIKELY), direction(DX, LIKELY), -1),
    ],
)
def test_against_is_of_the_direction_that_decided(client: Direction, server: Direction, against: int) -> None:
    """What speaks against the flow's path is what does against that direction, else against the other."""
    assert joined(client, server, np.array([False]), BOTH_SEEN).against.tolist() == [against]


@pytest.mark.parametrize("side", [0, 1])
def test_one_direction_alone_may_confirm(side: int) -> None:
    """Where no packets of a direction were seen at all, the other one's proof is the flow's."""
    ways = [direction(UNKNOWN, NONE, -1), direction(UNKNOWN, NONE, -1)]
    ways[side] = direction(DX, CONFIRMED, side)
    unseen = (np.array([side == 1]), np.array([side == 0]))
    flow = joined(ways[0], ways[1], np.array([False]), unseen)
    assert (PATHS[flow.path[0]], flow.confidence[0]) == (DX, CONFIRMED)


def test_every_kind_of_evidence_has_its_place() -> None:
    """The kinds that are weighed, and positions, are the closed set of the table, the strongest first."""
    assert set(EVIDENCE) == {*STRENGTH, "position"}
    weights = [STRENGTH.get(kind, 0) for kind in EVIDENCE]
    assert weights == sorted(weights, reverse=True)
    assert set(STRENGTH) >= SEEN
