"""How long it takes to judge a million flows by sixty rules, apart from reading them.

    python -m benchmarks.policies

The flows are those of the office sample, as often as it takes; each batch is judged as in an audit.
"""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import auditor
from auditor.policy import evaluate, library
from auditor.policy.facts import FactColumn
from auditor.policy.findings import Subject
from auditor.policy.totals import VerdictTotals
from auditor.tables.columns import Texts

CAPTURES = Path(__file__).parent.parent / "captures"
POLICIES = ["aws-pinpoint", "nist-800-52r2", "pci-dss-4.0.1", "rfc10015", "bsi-tr-02102-2", "pq-ready"]
BATCH, BATCHES = 8192, 122


def office() -> tuple[dict[str, Any], Subject]:
    """The facts of the office sample's flows."""
    taken: list[tuple[dict[str, Any], Subject]] = []
    judge = evaluate.Evaluation.batch

    def batch(
        self: evaluate.Evaluation, columns: Mapping[str, FactColumn], subject: Subject, totals: VerdictTotals
    ) -> Any:
        taken.append((dict(columns), subject))
        return judge(self, columns, subject, totals)

    evaluate.Evaluation.batch = batch  # type: ignore[method-assign]
    try:
        auditor.audit(CAPTURES / "office.pcapng", topology=CAPTURES / "site.toml").close()
    finally:
        evaluate.Evaluation.batch = judge  # type: ignore[method-assign]
    return taken[0]


def main() -> None:
    columns, who = office()
    pick = np.random.default_rng(1).integers(0, len(who.flow_id), BATCH)
    facts = {
        name: Texts(column.values, column.index[pick]) if isinstance(column, Texts) else column[pick]
        for name, column in columns.items()
    }
    facts["in_scope"] = np.ones(BATCH, bool)
    facts["requests"] = np.full(BATCH, None, object)  # few flows of a large capture have requests
    arrays = {f.name: getattr(who, f.name) for f in dataclasses.fields(who)}
    picked: dict[str, Any] = {
        name: v[pick] for name, v in arrays.items() if isinstance(v, np.ndarray) and name != "server_flow"
    }
    many = dataclasses.replace(who, **picked)
    many.server, many.service = (lambda flow: who.server(int(pick[flow]))), (lambda flow: who.service(int(pick[flow])))
    many.flow_id = np.arange(BATCH)
    _, many.server_flow, many.server_number = np.unique(who.server_number[pick], return_index=True, return_inverse=True)
    run = evaluate.Evaluation(library.combined(POLICIES))
    totals = VerdictTotals()
    begun = time.perf_counter()
    for _ in range(BATCHES):
        run.batch(facts, many, totals)
    took = time.perf_counter() - begun
    print(
        f"{BATCH * BATCHES:,} flows, {len(run.rules)} rules: {took:.2f} s with the rows of verdicts, {len(totals.findings.ordered())} findings"
    )
    setattr(evaluate.Evaluation, "_table", staticmethod(lambda *_: None))  # noqa: B010 - rows are left out
    begun = time.perf_counter()
    for _ in range(BATCHES):
        run.batch(facts, many, totals)
    print(f"without them: {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
