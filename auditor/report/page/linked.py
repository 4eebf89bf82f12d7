"""Which findings each flow is counted in: from a finding to its flows, and back."""

from collections import defaultdict
from typing import Any

import numpy as np

from auditor.report.flow_columns import FlowColumns
from auditor.report.plain import coded, numbered
from auditor.report.problems import BAD, FINDING, KnownFindings, Pair
from auditor.report.results import Results
from auditor.tables.columns import Texts, distinct

Array = np.ndarray[Any, Any]


def findings_of(result: Results, flows: FlowColumns, chosen: Array) -> Texts:
    """The identifiers of the findings of each chosen flow, with spaces between; missing where it has none."""
    known = KnownFindings(result.rows("findings", *FINDING))
    rows, rules, verdicts = _unmet(result, flows.numbers("flow_id")[chosen])
    if not len(rows):
        return Texts.constant(None, len(chosen))
    of_flows = (flows.network, flows.party, flows.region)
    tables = [[*column.values, None] for column in (rules, verdicts, *of_flows)]
    at = chosen[rows]
    combos, index = distinct(rules.index, verdicts.index, *(column.index[at] for column in of_flows))
    found: list[str | None] = []
    for combo in combos.tolist():
        rule, verdict, *party = (table[code] for table, code in zip(tables, combo, strict=True))
        finding = known.of(str(rule), str(verdict), Pair(party[0], str(party[1]), party[2]))
        found.append(finding["finding_id"] if finding else None)
    of_flow: dict[int, list[str]] = defaultdict(list)
    for row, which in zip(rows.tolist(), index.tolist(), strict=True):
        if (name := found[which]) is not None:
            of_flow[row].append(name)
    return Texts.of([" ".join(sorted(of_flow[k])) if k in of_flow else None for k in range(len(chosen))])


def _unmet(result: Results, chosen: Array) -> tuple[Array, Texts, Texts]:
    """Which of some flows fail a rule or are warned of, by their places; the rules, and the verdicts."""
    order = np.argsort(chosen)
    ids = chosen[order]
    names: tuple[dict[str, int], dict[str, int]] = ({}, {})
    parts = [np.zeros((3, 0), np.int64)]
    for batch in result.batches("verdicts", "flow_id", "rule", "verdict"):
        verdict, words = coded(batch.column("verdict"))
        flow = numbered(batch.column("flow_id"), 0)
        place = np.minimum(np.searchsorted(ids, flow), max(len(ids) - 1, 0))
        is_bad = np.array([name in BAD for name in [*words, None]], bool)[verdict]
        at = np.flatnonzero(is_bad & (ids[place] == flow)) if len(ids) else np.zeros(0, np.int64)
        rule, codes = coded(batch.column("rule"))
        among = (_among(rule[at], codes, names[0]), _among(verdict[at], words, names[1]))
        parts.append(np.stack([order[place[at]], *among]))
    rows, rule, verdict = np.concatenate(parts, axis=1)
    return rows, Texts(list(names[0]), rule), Texts(list(names[1]), verdict)


def _among(codes: Array, texts: list[str], known: dict[str, int]) -> Array:
    """The numbers of a batch's texts among all that are known; those of which there are none yet are added."""
    numbers = np.array([known.setdefault(text, len(known)) for text in texts], np.int64)
    chosen: Array = numbers[codes]
    return chosen
