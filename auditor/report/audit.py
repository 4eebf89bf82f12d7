"""The result of an audit: its tables as DataFrames, and the manifest that says how it was made."""

import html
import json
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import AuditError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from scapy.plist import PacketList

    from auditor.report.change import Change


class Audit:
    """The tables of an audit, read from its folder when they are first asked for.

    ``flows``, ``handshakes``, ``certificates``, ``requests``, ``evidence``, ``verdicts``, ``findings``, ``network``, ``witnesses`` and ``captures`` are pandas DataFrames (their
    columns are in ``docs/tables.md``); ``manifest`` is the contents of ``audit.json``; ``errors`` lists inputs that
    could not be read.
    """

    def __init__(self, folder: str | Path, *, temporary: bool = False) -> None:
        self.folder = Path(folder)
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, True) if temporary else None
        self._frames: dict[str, pd.DataFrame] = {}
        try:
            self.manifest: dict[str, Any] = json.loads((self.folder / "audit.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise AuditError(f"{folder}: holds no audit results (audit.json: {error.strerror})") from error
        except ValueError as error:
            raise AuditError(f"{folder}: audit.json is damaged ({error})") from error

    @classmethod
    def load(cls, folder: str | Path) -> "Audit":
        """The results that ``save`` or ``audit pcap --out`` left in a folder. Raises AuditError if there are none."""
        return cls(folder)

    def close(self) -> None:
        """Remove the results if they were kept only for this object (no ``out`` folder)."""
        if self._remove is not None:
            self._remove()

    def save(self, folder: str | Path) -> Path:
        """Write the results to ``folder``: one Parquet file for each table, ``audit.json`` and ``custody.json``."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name in [*(f"{table}.parquet" for table in self.tables), "audit.json", "custody.json"]:
            partial = target / f".{name}.partial"
            shutil.copyfile(self.folder / name, partial)
            partial.replace(target / name)
        return target

    def verify(self) -> "list[tuple[str, bool | None, str]]":
        """Each file of the results and each capture: whether it is what it was (None: cannot be said), and why."""
        from auditor.report.custody import verify

        return list(verify(self))

    def rule(self, code: str) -> "dict[str, Any] | None":
        """The page of a rule as it was applied: title, what, why, mend, source, …; None where no policy had it."""
        rules = (rule for policy in self.manifest["policies"] for rule in policy["rules"])
        return next((rule for rule in rules if rule["code"] == code), None)

    @property
    def tables(self) -> list[str]:
        """The names of the tables."""
        from auditor.tables.schema import TABLES

        return list(TABLES)

    def arrow(self, table: str) -> "pa.Table":
        """A table as Arrow data, flows in the order of their numbers."""
        data = self._read(table)
        if "flow_id" in data.column_names and data.num_rows:
            import pyarrow.compute as pc

            data = data.take(pc.sort_indices(data.select(["flow_id"]), sort_keys=[("flow_id", "ascending")]))
        return data

    def rows(self, table: str, *columns: str) -> list[dict[str, Any]]:
        """Some columns of a table as plain values, times in nanoseconds since 1970 (as timestamps they need pandas)."""
        from auditor.report.plain import values

        data = self._read(table, columns)
        lists = [values(data.column(name)) for name in columns]
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]

    def _read(self, table: str, columns: Sequence[str] | None = None) -> "pa.Table":
        import pyarrow.parquet as pq

        # not read_table: it loads pyarrow.dataset and with it pandas, a fifth of a second
        return pq.ParquetFile(self.folder / f"{table}.parquet").read(columns)

    def _frame(self, table: str) -> "pd.DataFrame":
        if table not in self._frames:
            from auditor.tables.schema import to_pandas

            self._frames[table] = to_pandas(table, self.arrow(table))
        return self._frames[table]

    @property
    def flows(self) -> "pd.DataFrame":
        """One row for each conversation."""
        return self._frame("flows")

    @property
    def handshakes(self) -> "pd.DataFrame":
        """One row for each TLS handshake."""
        return self._frame("handshakes")

    @property
    def certificates(self) -> "pd.DataFrame":
        """One row for each certificate seen."""
        return self._frame("certificates")

    @property
    def requests(self) -> "pd.DataFrame":
        """One row for each HTTP request that was seen, in clear or opened with keys."""
        return self._frame("requests")

    @property
    def evidence(self) -> "pd.DataFrame":
        """One row for each piece of evidence for a flow's path."""
        return self._frame("evidence")

    @property
    def verdicts(self) -> "pd.DataFrame":
        """One row for each flow and rule that is about it."""
        return self._frame("verdicts")

    @property
    def findings(self) -> "pd.DataFrame":
        """What does not meet the policy, by rule, client network and service, worst first."""
        return self._frame("findings")

    @property
    def network(self) -> "pd.DataFrame":
        """What the captures show of the network itself: addresses and MACs, neighbours, BGP, errors."""
        return self._frame("network")

    @property
    def witnesses(self) -> "pd.DataFrame":
        """One row for each flow log, CloudTrail file and sensor log."""
        return self._frame("witnesses")

    @property
    def captures(self) -> "pd.DataFrame":
        """One row for each input."""
        return self._frame("captures")

    def explain(self, flow_id: int) -> str:
        """How the path of a flow was judged, as a short text. Raises AuditError where no flow has that number."""
        from auditor.report.path_words import explain

        return explain(self, flow_id)

    def packets(self, flow_id: int) -> "PacketList":
        """The packets of a flow as scapy has them, read from its capture again.

        Raises AuditError where no flow has that number, or the capture is gone or was no file.
        """
        from auditor.report.drill import packets

        return packets(self, flow_id)

    def dissect(self, flow_id: int, keylog: str | Path | None = None) -> list[Any]:
        """The packets of a flow as tshark dissects them (pyshark); with a key log what is inside TLS as well.

        Raises AuditError as ``packets`` does, and where tshark is missing or fails.
        """
        from auditor.report.drill import dissect

        return dissect(self, flow_id, keylog)

    def explain_finding(self, finding_id: str) -> str:
        """A finding in words: facts, rule, frames, a Wireshark filter. Raises AuditError where there is none."""
        from auditor.report.proof import explain

        return explain(self, finding_id)

    def extract(self, finding_id: str, file: str | Path) -> int:
        """Write the packets that prove a finding to a pcapng with comments; how many they are.

        Raises AuditError where the capture is not there, or is not the one that was audited.
        """
        from auditor.report.proof import extract

        return extract(self, finding_id, file)

    def export(self, form: str, file: str | Path, table: str = "flows") -> None:
        """Write the audit to a file in one of the forms of ``audit export``; ``table`` is for those that have one table.

        Raises AuditError for a form or table that there is not, or where a library is missing.
        """
        from auditor.report.export import export

        export(self, form, file, table)

    def diff(self, other: "Audit") -> "list[Change]":
        """What changed from this audit to another one, by client group and service; findings first."""
        from auditor.report.change import diff

        return diff(self, other)

    @property
    def errors(self) -> list[str]:
        """Inputs that could not be read, a sentence for each."""
        return list(self.manifest.get("errors", []))

    def __repr__(self) -> str:
        counts = self.manifest["counts"]
        told = ", ".join(f"{counts[name]} {name}" for name in ("captures", "flows", "handshakes", "findings"))
        return f"<Audit {' '.join(policy['id'] for policy in self.manifest['policies'])}: {told}>"

    def _repr_html_(self) -> str:
        """What Jupyter shows: counts, then findings."""
        shown = ["severity", "verdict", "rule", "title", "client_group", "service", "flows", "reason"]
        table = self.findings[shown].head(20).to_html(index=False, escape=True) if len(self.findings) else ""
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{table or '<p>No findings.</p>'}"
