"""Our tables beside tshark's answers on the same capture, cell by cell: an independent check of the kernels."""

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.errors import AuditError
from auditor.machine import isolated
from auditor.requests import tshark
from auditor.tls.server_hello_kernels import RETRY_RANDOM

EXAMPLES = 3
CUT_SHORT = 2  # the exit status of tshark where a capture is cut or damaged, after it has printed all before that
SEPARATOR = "\x1f"
CLIENT_HELLO, SERVER_HELLO = "1", "2"
RETRY = bytes(RETRY_RANDOM).hex()
HELLO_FIELDS = (
    "frame.number",
    "tcp.stream",
    "tls.handshake.random",
    "tls.handshake.type",
    "tls.handshake.extensions_server_name",
    "tls.handshake.ciphersuite",
    "tls.handshake.ja3",
    "tls.handshake.ja3s",
)
FLOW_FIELDS = ("frame.protocols", "frame.len", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst")


@dataclass
class ColumnComparison:
    """One column: how many cells were compared, how many are equal, and some that are not."""

    what: str
    compared: int = 0
    equal: int = 0
    examples: list[str] = field(default_factory=list)

    def cell(self, where: str, ours: Any, theirs: Any) -> None:
        self.compared += 1
        if ours == theirs:
            self.equal += 1
        elif len(self.examples) < EXAMPLES:
            self.examples.append(f"{where}: {ours!r}, tshark {theirs!r}")


@dataclass
class Comparison:
    """What was compared, and with which tshark."""

    tshark: str
    lines: list[ColumnComparison]
    notes: list[str] = field(default_factory=list)  # what tshark complained of

    @property
    def is_equal(self) -> bool:
        return all(line.equal == line.compared for line in self.lines)


class Tshark:
    """Answers of tshark on one capture, and what it complained of."""

    def __init__(self, program: str, path: Path) -> None:
        self._program, self._path = program, path
        self.notes: list[str] = []

    def fields(self, names: tuple[str, ...], only: str) -> Iterator[dict[str, list[str]]]:
        """The values of fields of each packet; a field may be there several times. Raises AuditError if tshark fails."""
        command = tshark.command(self._program, "-r", str(self._path.absolute()), "-T", "fields", "-Y", only)
        command += ["-E", f"separator={SEPARATOR}", "-E", "aggregator=|", "-o", "tcp.reassemble_out_of_order:TRUE"]
        for name in names:
            command += ["-e", name]
        with tempfile.TemporaryFile() as errors:
            with isolated.start(command, tshark.SETTINGS, stdout=subprocess.PIPE, stderr=errors) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    cells = line.decode("utf-8", "replace").rstrip("\n").split(SEPARATOR)
                    yield {name: cell.split("|") if cell else [] for name, cell in zip(names, cells, strict=False)}
            errors.seek(0)
            messages = [
                line for line in errors.read().decode("utf-8", "replace").splitlines() if line.startswith("tshark:")
            ]
        note = messages[-1] if messages else f"tshark ended with {child.returncode}"
        if child.returncode == CUT_SHORT and messages:
            self.notes += [note] if note not in self.notes else []
        elif child.returncode:
            raise AuditError(f"{self._path}: nothing to compare with: {note}")


def compare(path: str | Path) -> Comparison:
    """Audit a capture and compare hellos and flows with what tshark says of it. Raises AuditError without tshark."""
    from auditor.audit.start import audit

    program = tshark.program()
    if program is None:
        raise AuditError(tshark.missing())
    if not Path(path).is_file():
        raise AuditError(f"{path}: not a file; only files can be compared")
    result = audit(path)
    try:
        theirs = Tshark(program, Path(path))
        lines = [*_hellos(result, theirs), *_flows(result, theirs)]
    finally:
        result.close()
    return Comparison(tshark.version() or program, lines, theirs.notes)


def _hellos(result: Any, theirs: Tshark) -> list[ColumnComparison]:
    ours: dict[str, dict[int, Any]] = {"client": {}, "server": {}}
    names = ("server_name", "cipher_suites_offered", "cipher_suite_id", "ja3", "ja3s")
    for row in result.rows("handshakes", "client_hello_frame", "server_hello_frame", "transport", *names):
        if row["transport"] != "dtls":  # tshark has other fields for them
            ours["client"][row["client_hello_frame"] or 0] = row
            ours["server"][row["server_hello_frame"] or 0] = row
    seen = ColumnComparison("frames with a ClientHello"), ColumnComparison("frames with a ServerHello")
    name, suites, ja3 = (
        ColumnComparison("server_name"),
        ColumnComparison("cipher suites offered"),
        ColumnComparison("ja3"),
    )
    suite, ja3s = ColumnComparison("cipher_suite"), ColumnComparison("ja3s")
    retried: set[str] = set()
    only = f"tls.handshake.type == {CLIENT_HELLO} || tls.handshake.type == {SERVER_HELLO}"
    for cells in theirs.fields(HELLO_FIELDS, only):
        number, kinds = int(cells["frame.number"][0]), cells["tls.handshake.type"]
        stream = "".join(cells["tcp.stream"])
        if RETRY in cells["tls.handshake.random"]:  # the retry and the hello after it are in the first hello's row
            retried.add(stream)
            continue
        if stream in retried and CLIENT_HELLO in kinds:
            retried.remove(stream)
            continue
        where = f"frame {number}"
        codes = [int(code, 0) for code in cells["tls.handshake.ciphersuite"]]
        if kinds.count(CLIENT_HELLO) == 1 and SERVER_HELLO not in kinds:
            row = ours["client"].get(number)
            seen[0].cell(where, row is not None, True)
            if row is not None:
                server_names = cells["tls.handshake.extensions_server_name"]
                name.cell(where, row["server_name"], server_names[0] if server_names else None)
                suites.cell(where, len((row["cipher_suites_offered"] or "").split()), len(codes))
                if cells["tls.handshake.ja3"]:
                    ja3.cell(where, row["ja3"], cells["tls.handshake.ja3"][0])
        elif kinds.count(SERVER_HELLO) == 1 and CLIENT_HELLO not in kinds:
            row = ours["server"].get(number)
            seen[1].cell(where, row is not None, True)
            if row is not None:
                suite.cell(where, row["cipher_suite_id"], codes[0] if codes else None)
                if cells["tls.handshake.ja3s"]:
                    ja3s.cell(where, row["ja3s"], cells["tls.handshake.ja3s"][0])
    return [*seen, name, suites, ja3, suite, ja3s]


def _address(cells: dict[str, list[str]], end: str) -> str | None:
    """The innermost address of a packet."""
    addresses = cells[f"ip.{end}"] or cells[f"ipv6.{end}"]
    return addresses[-1] if addresses else None


def _flows(result: Any, theirs: Tshark) -> list[ColumnComparison]:
    """Packets and bytes of all that has the same ends: where one connection ends and the next begins is not compared."""
    lines = []
    columns = ("client_ip", "client_port", "server_ip", "server_port", "client_packets", "server_packets")
    flows = result.rows("flows", "transport", "client_bytes", "server_bytes", *columns)
    for transport in ("tcp", "udp"):
        ours: dict[Any, list[int]] = {}
        for row in flows:
            if row["transport"] == transport:
                ends = [(row["client_ip"], row["client_port"]), (row["server_ip"], row["server_port"])]
                of = ours.setdefault(_ends(ends), [0, 0])
                of[0] += row["client_packets"] + row["server_packets"]
                of[1] += row["client_bytes"] + row["server_bytes"]
        others: dict[Any, list[int]] = {}
        names = (*FLOW_FIELDS, f"{transport}.srcport", f"{transport}.dstport")
        for cells in theirs.fields(names, f"{transport} && !icmp && !icmpv6"):
            source, target = _address(cells, "src"), _address(cells, "dst")
            layers = [layer for layer in cells["frame.protocols"][0].split(":") if layer in ("tcp", "udp")]
            if source is None or target is None or layers[-1:] != [transport]:
                continue
            ports = [int(cells[f"{transport}.{which}"][-1]) for which in ("srcport", "dstport")]
            of = others.setdefault(_ends([(source, ports[0]), (target, ports[1])]), [0, 0])
            of[0] += 1
            of[1] += int(cells["frame.len"][0])
        pairs, packets, size = (
            ColumnComparison(f"{transport}: {what}") for what in ("pairs of ends", "packets", "bytes")
        )
        for key in sorted(ours.keys() | others.keys()):
            where = " ".join(f"{address}:{port}" for address, port in key)
            pairs.cell(where, key in ours, key in others)
            if key in ours and key in others:
                packets.cell(where, ours[key][0], others[key][0])
                size.cell(where, ours[key][1], others[key][1])
        lines += [pairs, packets, size]
    return lines


def _ends(ends: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(ends))
