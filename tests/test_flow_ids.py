"""Numbers of flows: made of what flows are, shown short, and found by what is shown."""

from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.report import flow_ids
from tests import wire


@pytest.fixture
def result(tmp_path: Path) -> Any:
    """Two connections of one pair of addresses."""
    talks = [wire.Talk(port).open() for port in (40_001, 40_002)]
    return auditor.audit(wire.write(tmp_path, wire.pcap([one for talk in talks for one in talk.packets])))


def test_the_same_flow_has_the_same_number_in_every_audit(result: Any, tmp_path: Path) -> None:
    """Neither the file's name nor what else is in it changes the number of a flow."""
    alone = [
        (1_700_000_000 * wire.SECOND + k * 1_000_000, one) for k, one in enumerate(wire.Talk(40_002).open().packets, 3)
    ]
    other = auditor.audit(wire.write(tmp_path, wire.pcap(alone), "other.pcap"))
    mine = result.flows.set_index("client_port")["flow_id"]
    assert list(other.flows["flow_id"]) == [mine[40_002]]
    assert mine[40_001] != mine[40_002]
    assert (mine > 0).all()


def test_the_shown_digits_find_a_flow(result: Any) -> None:
    """The short form, the whole one and the number itself lead to the flow; what fits none or several is a sentence."""
    numbers = list(result.flows["flow_id"])
    for number, short in zip(numbers, flow_ids.short(result, numbers), strict=True):
        assert len(short) >= flow_ids.FEWEST
        assert all(flow_ids.found(result, given) == number for given in (number, str(number), short, short.upper()))
        assert result.explain(short) == result.explain(number)
    with pytest.raises(auditor.AuditError, match="no flow has the number xyz"):
        result.explain("xyz")
    common = next(n for n in range(17) if len({flow_ids.whole(one)[: n + 1] for one in numbers}) == 2)
    if common:
        with pytest.raises(auditor.AuditError, match="2 flows begin with that"):
            result.explain(flow_ids.whole(numbers[0])[:common])
