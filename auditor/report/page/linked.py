"""Which findings each flow is counted in: from a finding to its flows, and back."""

from collections import defaultdict
from typing import Any

import numpy as np

from auditor.report.flow_columns import FlowColumns
from auditor.report.plain import coded, values
from auditor.report.problems import BAD, FINDING, KnownFindings, Pair
from auditor.report.results import Results
from auditor.tables.columns import Texts, distinct

Array = np.ndarray[Any, Any]


def findings_of(result: Results, flows: FlowColumns) -> Texts:
    """The identifiers of each flow's findings, with spaces between; missing where it has none."""
    known = KnownFindings(result.rows("findings", *FINDING))
    rows, rules, verdicts = _unmet(result, flows)
    if not len(rows):
        return Texts.constant(None, len(flows))
    of_flows = (flows.network, flows.party, flows.region)
    tables = [[*column.values, None] for column in (rules, verdicts, *of_flows)]
    combos, index = distinct(rules.index, verdicts.index, *(column.index[rows] for column in of_flows))
    found: list[str | None] = []
    for combo in combos.tolist():
        rule, verdict, *party = (table[code] for table, code in zip(tables, combo, strict=True))
        finding = known.of(str(rule), str(verdict), Pair(party[0], str(party[1]), party[2]))
        found.append(finding["finding_id"] if finding else None)
    of_flow: dict[int, list[str]] = defaultdict(list)
    for row, which in zip(rows.tolist(), index.tolist(), strict=True):
        if (name := found[which]) is not None:
            of_flow[row].append(name)
    return Texts.of([" ".join(sorted(of_flow[k])) if k in of_flow else None for k in range(len(flows))])


def _unmet(result: Results, flows: FlowColumns) -> tuple[Array, Texts, Texts]:
    """Places of flows that fail a rule or are warned of, the rules, and the verdicts."""
    every = flows.numbers("flow_id")
    order = np.argsort(every)
    places, rules, verdicts = [np.zeros(0, np.int64)], [], []
    for batch in result.batches("verdicts", "flow_id", "rule", "verdict"):
        verdict, names = coded(batch.column("verdict"))
        at = np.flatnonzero(np.array([name in BAD for name in [*names, None]], bool)[verdict])
        numbers = np.array(values(batch.column("flow_id")), np.int64)[at]
        places.append(order[np.searchsorted(every, numbers, sorter=order)])
        rule = values(batch.column("rule"))
        rules += [rule[k] for k in at.tolist()]
        verdicts += [names[code] for code in verdict[at].tolist()]
    return np.concatenate(places), Texts.of(rules), Texts.of(verdicts)
