"""The result of an audit, and all that can be done with it."""

import warnings
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.border.words import agreed
from auditor.errors import AuditError, shown
from auditor.report.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from scapy.plist import PacketList

    from auditor.report.change import Change
    from auditor.report.plot import Plots


MOST_SHOWN = 20  # problems, in a notebook


class Audit(Results):
    """The tables of an audit, read from its folder when they are first asked for; its packets, forms and changes.

    ``flows``, ``handshakes``, ``certificates``, ``requests``, ``evidence``, ``verdicts``, ``findings``, ``network``,
    ``witnesses`` and ``captures`` are pandas DataFrames (their columns are in ``docs/tables.md``); ``manifest`` is the
    contents of ``audit.json``; ``errors`` lists inputs that could not be read.
    """

    def __init__(
        self, folder: str | Path, *, temporary: bool = False, captures: str | Path | Iterable[str | Path] = ()
    ) -> None:
        self._remove: weakref.finalize[Any, Any] | None = None
        if temporary:
            import shutil

            self._remove = weakref.finalize(self, shutil.rmtree, Path(folder), True)
        super().__init__(folder, captures)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        captures: str | Path | Iterable[str | Path] = (),
        say: Callable[[str], object] = warnings.warn,
    ) -> "Audit":
        """The results that ``save`` or ``audit pcap --out`` left in a folder. Raises AuditError if there are none.

        ``captures``: files, or folders, among which captures that were moved are found by their SHA-256. ``say`` is called
        with a sentence on each file that is not as the audit left it.
        """
        from auditor.report.verify import altered

        result = cls(folder, captures=captures)
        for sentence in altered(result.folder):
            say(sentence)
        return result

    def close(self) -> None:
        """Remove the results if they were kept only for this object (no ``out`` folder, or one in a store)."""
        super().close()
        if self._remove is not None:
            self._remove()

    @property
    def answer(self) -> str:
        """Was this traffic private? The answer in a sentence, as the terminal and the page begin."""
        from auditor.report.answer import answer

        return answer(self).sentence

    @property
    def problems(self) -> "pd.DataFrame":
        """What is wrong, by who talks to what: a row for a client network and a service with all their rules, worst first."""
        from auditor.report.problems import frame

        return frame(self)

    @property
    def plot(self) -> "Plots":
        """Charts as plotly figures, with the numbers and colours of the page: ``paths()``, ``versions()``, ``flow("3ac6125")``."""
        from auditor.report.plot import Plots

        return Plots(self)

    def who(self, where: str | None = None, by: str | Iterable[str] = "client,server") -> "pd.DataFrame":
        """Who talks to whom, how often and since when: of the flows that a question is about.

        ``where`` is a version (``"tls1.0"``), a rule (``"TLS101"``), a suite, an address or a name, a ready question as
        ``"plaintext"``, or a condition in SQL's words (``"tls_version < 'TLS 1.2'"``). ``by``: client, network, server, service,
        version, suite, or columns of ``flows``; a list, or names with commas. Raises AuditError where they are not right.
        """
        from auditor.report.who import frame

        return frame(self, where, by if isinstance(by, str) else ",".join(by))

    def sql(self, query: str) -> "pd.DataFrame":
        """The rows of a query over the tables, in DuckDB's SQL, which can reach nothing else. Raises AuditError."""
        from auditor.report.asking import frame

        return frame(self, query)

    def report(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the report: one HTML page that opens offline. ``force`` overwrites another file. Raises AuditError."""
        self.export("html", path, force=force)
        return Path(path)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the results to ``folder``: one Parquet file for each table, ``audit.json`` and ``custody.json``.

        An older result there is replaced; other files are not. Raises AuditError where it cannot be done.
        """
        from auditor.report.copies import save

        return save(self, Path(folder), force=force)

    def verify(
        self,
        key: str | Path | None = None,
        timestamp_response: str | Path | None = None,
        timestamp_ca: str | Path | None = None,
    ) -> list[tuple[str, bool | None, str]]:
        """Each file of the results and each capture: whether it is unchanged (None: cannot be known), and why.

        ``key``: a public key in PEM or OpenSSH's form, or a list of allowed signers, by one of whom the results have to be
        signed; the others as for ``audit verify``. Raises AuditError where there is nothing to verify by.
        """
        from auditor.report.seals.sealed import Proofs
        from auditor.report.verify import verify

        given = (key, timestamp_response, timestamp_ca)
        return list(verify(self, Proofs(*(None if one is None else Path(one) for one in given))))

    def sign(
        self, key: str | Path | None = None, passphrase: Callable[[], str | None] = lambda: None, *, force: bool = False
    ) -> list[str]:
        """Sign the results with a private key in PEM or OpenSSH's form; the names of the files that are written.

        Without a key only ``signed.json`` is, for others to sign: ``ssh-keygen -Y sign -n traffic-auditor``. ``force``
        replaces a signature. Raises AuditError, also where the results are not as the audit left them.
        """
        from auditor.report.verify import sign

        self.check_local("seals are")
        return sign(self, None if key is None else Path(key), passphrase, force=force)

    def request_timestamp(self, file: str | Path, *, force: bool = False) -> None:
        """Write what a time stamp authority is to be sent about the results (RFC 3161). Raises AuditError."""
        from auditor.report.seals.sealed import request

        self.check_local("seals are")
        request(self.folder, Path(file), force=force)

    def keep_timestamp(self, response: str | Path) -> str:
        """Keep an authority's response beside the results; the time it states, unproven. Raises AuditError."""
        from auditor.report.seals.sealed import stamp

        self.check_local("time stamps are")
        return stamp(self.folder, Path(response))

    def explain(self, flow_id: int | str) -> str:
        """How the path of a flow was judged, as a short text. Raises AuditError where no flow has that number.

        ``flow_id``: the number, or its first digits in hexadecimal; here and below.
        """
        from auditor.report.path_words import explain_path

        return explain_path(self, flow_id)

    def packets(self, flow_id: int | str) -> "PacketList":
        """The packets of a flow as scapy has them, read from its capture again.

        Raises AuditError where no flow has that number, or the capture is gone or was no file.
        """
        from auditor.report.drill import packets

        return packets(self, flow_id)

    def dissect(self, flow_id: int | str, keylog: str | Path | None = None) -> list[Any]:
        """The packets of a flow as tshark dissects them (pyshark); with a key log what is inside TLS as well.

        Raises AuditError as ``packets`` does, and where tshark is missing or fails.
        """
        from auditor.report.drill import dissect

        return dissect(self, flow_id, keylog)

    def explain_finding(self, finding_id: str) -> str:
        """A finding in words: facts, rule, frames, a Wireshark filter. Raises AuditError where there is none."""
        from auditor.report.proof import explain_finding

        return explain_finding(self, finding_id)

    def extract(self, finding_id: str, file: str | Path | BinaryIO, *, force: bool = False) -> int:
        """Write the packets that prove a finding to a pcapng with comments; how many they are.

        ``force`` overwrites another file. Raises AuditError where the capture is not there, or is not the one that was
        audited.
        """
        from auditor.report.proof import extract

        return extract(self, finding_id, file, force=force)

    def export(
        self,
        form: str,
        file: str | Path | BinaryIO,
        table: str = "flows",
        *,
        where: str | None = None,
        force: bool = False,
    ) -> None:
        """Write the audit to a file, by name or open, in one of the forms of ``audit export``; ``table`` is for those that have one table.

        ``where`` chooses rows of that table, in SQL's words. ``force`` overwrites another file. Raises AuditError for a form or table that there is not, or where a library is
        missing.
        """
        from auditor.report.export import export

        export(self, form, file, table, where=where, force=force)

    def diff(self, other: Results) -> "list[Change]":
        """What changed from this audit to another one, by client group and service; findings first.

        Raises AuditError for what is no audit.
        """
        from auditor.report.change import diff

        if not isinstance(other, Results):
            raise AuditError(f"{shown(str(other))}: not an audit; auditor.load(folder) gives that of saved results")
        return diff(self, other)

    def export_diff(
        self, other: Results, form: str, file: str | Path | BinaryIO, *, force: bool = False
    ) -> "list[Change]":
        """Write what changed to a file, by name or open, as ``text``, ``json`` or ``html``; the changes of ``diff``.

        ``force`` overwrites another file. Raises AuditError for a form that there is not.
        """
        from auditor.report.export_diff import export_diff

        return export_diff(self, other, form, file, force=force)

    def add_to_history(self, path: str | Path) -> None:
        """Add this audit to a history for ``auditor.history``; an audit that is in it already is replaced."""
        from auditor.report.history import append

        append(self, path)

    def __repr__(self) -> str:
        counts = self.manifest["counts"]
        numbers = [(counts[f"{one}s"], one) for one in ("capture", "flow", "handshake", "finding")]
        words = ", ".join(f"{number} {agreed(number, one)}" for number, one in numbers)
        return f"<Audit {' '.join(policy['id'] for policy in self.manifest['policies'])}: {words}>"

    def _repr_html_(self) -> str:
        """What Jupyter shows: the answer, then the problems, worst first."""
        table = self.problems
        shown = table[["severity", "client_group", "service", "region", "what", "flows", "rules"]].head(MOST_SHOWN)
        import html

        parts = [f"<p><strong>{html.escape(self.answer)}</strong></p>"]
        if len(table):
            parts.append(shown.to_html(index=False, escape=True, na_rep=""))
        if len(table) > MOST_SHOWN:
            parts.append(f"<p>and {len(table) - MOST_SHOWN:,} more: .problems has them all</p>")
        return "".join([*parts, f"<p>{html.escape(repr(self)[1:-1])}</p>"])


load = Audit.load


def public_names(names: Iterable[str]) -> Callable[[], list[str]]:
    """``__dir__`` of a package: what it offers, and not the modules that it happens to have loaded."""
    return lambda: sorted(names)
