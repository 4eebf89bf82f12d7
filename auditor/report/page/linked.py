"""Which findings each flow is counted in: from a finding to its flows, and back."""

from collections import defaultdict
from typing import Any

import numpy as np

from auditor.policy.findings import OTHERS
from auditor.prefixes import Prefix, parse
from auditor.report.flow_columns import FlowColumns
from auditor.report.plain import Row, values
from auditor.report.results import Results
from auditor.tables.columns import Texts, distinct

Array = np.ndarray[Any, Any]


def findings_of(result: Results, flows: FlowColumns) -> Texts:
    """The identifiers of each flow's findings, with spaces between; missing where it has none."""
    table = _Findings(result.rows("findings", "finding_id", "rule", "verdict", "client_group", "service", "region"))
    rows, rules, verdicts = _unmet(result, flows)
    if not len(rows):
        return Texts.constant(None, len(flows))
    combos, index = distinct(
        rules.index, verdicts.index, flows.network.index[rows], flows.service.index[rows], flows.server.index[rows]
    )
    columns = (rules, verdicts, flows.network, flows.service, flows.server)
    found = [
        table.find(*(str(column.values[code]) for column, code in zip(columns, combo, strict=True)))
        for combo in combos.tolist()
    ]
    of_flow: dict[int, list[str]] = defaultdict(list)
    for row, which in zip(rows.tolist(), index.tolist(), strict=True):
        if (name := found[which]) is not None:
            of_flow[row].append(name)
    return Texts.of([" ".join(sorted(of_flow[k])) if k in of_flow else None for k in range(len(flows))])


def _unmet(result: Results, flows: FlowColumns) -> tuple[Array, Texts, Texts]:
    """Places of flows that fail a rule or are warned of, the rules, and the verdicts."""
    data = result.arrow("verdicts").select(["flow_id", "rule", "verdict"])
    verdicts = Texts.of(values(data.column("verdict")))
    unmet = np.array([value in ("fail", "warn") for value in [*verdicts.values, None]], bool)[verdicts.index]
    numbers = np.array(values(data.column("flow_id")), np.int64)[unmet]
    every = flows.numbers("flow_id")
    order = np.argsort(every)
    rules = Texts.of(values(data.column("rule")))
    places = order[np.searchsorted(every, numbers, sorter=order)] if len(every) else np.zeros(0, np.int64)
    return places, Texts(rules.values, rules.index[unmet]), Texts(verdicts.values, verdicts.index[unmet])


class _Findings:
    """Findings, to be found by what a flow shows."""

    def __init__(self, rows: list[Row]) -> None:
        self._of_rule: dict[tuple[str, str], list[tuple[str, Prefix | None, str]]] = defaultdict(list)
        for row in rows:
            service = f"{row['service']} {row['region'] or ''}".rstrip()
            network = parse(row["client_group"]) if row["client_group"] else None
            self._of_rule[row["rule"], row["verdict"]].append((service, network, row["finding_id"]))

    def find(self, rule: str, verdict: str, network: str, service: str, server: str) -> str | None:
        """The finding that a flow is counted in; a service of its own comes before those counted together."""
        client = parse(network)
        for wanted in (service, server, OTHERS):
            for counted, group, name in self._of_rule[rule, verdict]:
                if counted == wanted and (group is None or _holds(group, client)):
                    return name
        return None


def _holds(wide: Prefix, narrow: Prefix) -> bool:
    version, number, length = wide
    if length == 0:
        return True
    bits = 32 if version == 4 else 128
    return version == narrow[0] and length <= narrow[2] and number >> (bits - length) == narrow[1] >> (bits - length)
