"""Facts of flows: declared once, computed when a rule asks, and combined only as far as rules read them."""

from typing import Any

import numpy as np
import pytest

from auditor.audit.opened import OpenedFacts
from auditor.policy import library
from auditor.policy.facts import FactColumn, Facts, FlowFacts, distinct, fact, read_by
from auditor.policy.registry import CHECKS
from auditor.tables.columns import Texts


class Two(FlowFacts):
    """Two facts of three flows, and which of them was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @fact
    def port(self) -> Any:
        """The server's port."""
        self.asked.append("port")
        return np.array([443, 80, 443])

    @fact
    def name(self) -> Texts:
        """The server's name."""
        self.asked.append("name")
        return Texts(["a", "b"], np.array([0, 1, -1]))


def test_facts_are_computed_once_when_first_asked() -> None:
    """What nobody asks for is not computed; what is asked for twice is computed once."""
    facts = Two()
    assert facts.names() == ["port", "name"] == list(facts)
    assert facts.asked == []
    assert facts["port"] is facts["port"]
    assert facts.asked == ["port"]
    with pytest.raises(KeyError):
        facts["asked"]


def test_only_facts_that_are_read_are_combined() -> None:
    """Flows that differ in no fact that is read are one combination, in the order of their first flows."""
    facts = Two()
    names = read_by(facts, lambda some: some.port == 443)
    assert names == {"port"}
    combinations, index = distinct(facts, names)
    assert combinations.port.tolist() == [443, 80]
    assert index.tolist() == [0, 1, 0]
    assert facts.asked == ["port"]


def test_a_fact_that_was_not_combined_cannot_be_read() -> None:
    """A check that reads a fact only where it sees flows fails loudly, and does not see another flow's."""
    combinations, _ = distinct(Two(), ["port"])
    with pytest.raises(AttributeError, match="no fact name"):
        _ = combinations.name
    with pytest.raises(AttributeError, match="no fact name"):
        _ = combinations.some(np.array([0])).name


def test_names_of_facts_are_declared_once() -> None:
    """No stage declares a fact that another has declared, and each says what it means."""
    names = OpenedFacts.names()
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(OpenedFacts, name).__doc__, name


def test_every_fact_is_read_by_a_check_and_checks_read_only_facts() -> None:
    """What the shipped policies' rules read of no flows are declared facts, and no fact is there for nobody."""
    numbers = {"compression", "path_confidence", "hello_outcome", "day", "asymmetric", "in_region", "version"}
    numbers |= {"version_offered", *(name for name in OpenedFacts.names() if _is_three_valued(name))}
    truths = {"in_scope", "is_pinpoint", "is_tls", "has_handshake", "negotiated", "has_payload"}
    truths |= {"imitates", "hello_is_large", "path_seen", "early_data_sent", "is_greeting"}
    columns: dict[str, FactColumn] = {
        name: np.zeros(1, np.int64 if name in numbers else bool if name in truths else object)
        for name in OpenedFacts.names()
    }
    rules = [rule for name in library.shipped() for rule in library.get(name).rule]

    def ask(facts: Facts) -> None:
        for rule in rules:
            CHECKS[rule.check].function(facts, rule.required, rule.parameters)

    of_rules = {"day", "in_scope", "is_pinpoint"}  # by which rules are about flows or not
    assert read_by(columns, ask) | of_rules == set(OpenedFacts.names())


def _is_three_valued(name: str) -> bool:
    return str(getattr(OpenedFacts, name).__doc__).startswith("Three-valued")
