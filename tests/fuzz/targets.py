"""What is fuzzed: each kind of input with its seeds, how it is made wrong, and the readers that it is given to."""

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import auditor
from auditor.aws.ranges import Ranges
from auditor.border.text import is_harmless
from auditor.cli import detail, summary
from auditor.machine import packed
from auditor.paths import aws_files, route_files, site, witnesses
from auditor.paths.routes import RoutingTable
from auditor.policy import library
from auditor.report.custody import CUSTODY, KEPT
from auditor.report.formats import FORMS
from auditor.report.history import drift, sql
from auditor.report.results import MANIFEST
from auditor.report.seals import keys as key_files
from auditor.requests import keys
from auditor.tables.schema import TABLES
from tests import test_route_texts
from tests.conftest import SAMPLES
from tests.fuzz import decoders, dissected, mutate, packed_archives, packets, seeds

PACKED = ("xlsx", "parquet")  # forms that are no text
MAKE = Callable[[Random], bytes]


@dataclass(frozen=True)
class Target:
    """A kind of input: the name of its file, one that is made wrong, and who reads it. ``is_slow``: takes milliseconds, and may leave files.

    ``glance``: reads it in one of the ways that ``read`` does all of, which would take longer than what is looked for is worth.
    """

    file: str
    make: MAKE
    read: Callable[[Path], object]
    is_slow: bool = False
    glance: Callable[[Path, Random], object] | None = None


def of_json(*values: Any) -> MAKE:
    return lambda random: mutate.to_json(random, mutate.plain(random, random.choice(values)))


def of_lines(*values: Any) -> MAKE:
    """JSON, one value a line, some of them right."""

    def make(random: Random) -> bytes:
        some = [random.choice(values) for _ in range(3)]
        return b"\n".join(mutate.to_json(random, mutate.plain(random, one)) for one in some)

    return make


def of_toml(value: Any) -> MAKE:
    return lambda random: mutate.toml(random, mutate.plain(random, value))


def of_parameters(random: Random) -> bytes:
    """A policy whose rules have parameters of which some are wrong."""
    some = random.sample(seeds.rules(), 6)
    changed = [rule | {"parameters": mutate.plain(random, rule["parameters"], 2)} for rule in some]
    return mutate.toml(random, seeds.POLICY | {"extends": [], "change": [], "exception": [], "rule": changed})


def of_text(*texts: str) -> MAKE:
    return lambda random: mutate.fields(random, random.choice(texts))


def of_bytes(*data: bytes) -> MAKE:
    return lambda random: mutate.octets(random, random.choice(data))


def read_policy(path: Path) -> None:
    library.combined([path])


def read_witness(path: Path) -> None:
    """Read a log, and say what its rows are where no capture has a flow of them."""
    read = witnesses.read([path])
    read.rows(read.totals())


def read_account(path: Path) -> None:
    site.Network(aws_files.read(path.parent, []))


def read_routes(path: Path) -> None:
    table = RoutingTable(route_files.read(path, None, []))
    table.find(np.array([0], np.uint64), np.array([0xFFFF345E0101], np.uint64))
    for route in range(len(table)):
        table.prefix(route)


def read_keys(path: Path) -> None:
    read = keys.read([path])
    read.grow()
    read.known(np.array([1], np.uint64), np.array([1], np.uint64))


def audit_with(**options: str) -> Callable[[Path], None]:
    """Audit a small capture with an input; ``options``: what it is given as."""

    def read(path: Path) -> None:
        capture = path.parent.parent / "a.pcap"
        if not capture.exists():
            capture.write_bytes(seeds.capture())
        for name, kind in options.items():
            value = path.parent if kind == "folder" else [path] if kind == "list" else path
            auditor.audit(capture, **{name: value}).close()  # type: ignore[arg-type]

    return read


def audit_capture(path: Path, random: Random | None = None) -> None:
    with contextlib.closing(auditor.audit(path, topology=SAMPLES / "site.toml")) as result:
        read_results(result, random)


@cache
def results() -> Path:
    """The results of an audit, one in which each table has rows."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-results-"))
    inputs = folder / "inputs"
    inputs.mkdir()
    (inputs / "a.pcap").write_bytes(seeds.capture())
    (inputs / "fl.log").write_text(seeds.LOG_TEXTS[0])
    auditor.audit(
        [inputs / "a.pcap", SAMPLES / "requests.pcapng", SAMPLES / "tls1.2.pcapng"],
        topology=SAMPLES / "site.toml",
        witnesses=[inputs / "fl.log"],
        out=folder / "results",
    )
    return folder / "results"


def of_results(name: str) -> MAKE:
    """One file of results."""

    def make(random: Random) -> bytes:
        data = (results() / name).read_bytes()
        if not name.endswith(".parquet"):
            return mutate.to_json(random, mutate.plain(random, json.loads(data), most=2))
        return mutate.parquet(random, pq.read_table(results() / name))

    return make


def of_kept(random: Random) -> bytes:
    """What an audit keeps to be judged anew, whose records have other values or arrays, and digests that fit."""
    with (results() / KEPT).open("rb") as file:
        every = list(packed.records(file))
        wrong = set(random.sample(range(len(every)), 2))
        return b"".join(_record(random if k in wrong else None, file, record) for k, record in enumerate(every))


def _record(random: Random | None, file: BinaryIO, record: packed.Record) -> bytes:
    file.seek(record.begin)
    if random is None:
        return file.read(record.end - record.begin)
    if random.random() < 0.05:
        return mutate.octets(random, file.read(record.end - record.begin))
    file.seek(record.bodies)
    bodies = [(entry, pa.py_buffer(file.read(entry[3]))) for entry in record.listed]
    values = mutate.plain(random, record.values, 2) if random.random() < 0.5 or not bodies else record.values
    for at in random.sample(range(len(bodies)), min(len(bodies), random.randrange(3))):
        entry, body = bodies[at]
        bodies[at] = entry, _array(random, entry, body)
        entry[3] = len(bodies[at][1])
    try:
        return b"".join(map(bytes, packed.assembled(record.kind, values, bodies)))
    except (TypeError, ValueError, RecursionError):  # no longer values that JSON has
        return b""


def _array(random: Random, entry: list[Any], body: pa.Buffer) -> pa.Buffer:
    """An array of other bytes, or of another shape."""
    if random.random() < 0.2:
        entry[2] = mutate.plain(random, entry[2], 1)
        return body
    raw = pa.CompressedInputStream(pa.BufferReader(body), "zstd").read() if len(body) else b""
    return pa.Codec("zstd").compress(mutate.octets(random, raw))


def beside_results(path: Path) -> Path:
    """The folder of a file, with all other files that results have."""
    for other in results().iterdir():
        if other.name != path.name:
            shutil.copyfile(other, path.parent / other.name)
    return path.parent


def read_results_of(path: Path, random: Random | None = None) -> None:
    """All that can be done with results of which one file is somebody else's; with ``random``, one thing of it."""
    result = auditor.Audit.load(beside_results(path), say=lambda _: None)
    read_results(result, random)
    if random is None or random.random() < 0.1:
        attempt(lambda: result.save(path.parent.parent / "copy", force=True))
        attempt(lambda: result.add_to_history(path.parent.parent / "history"))


def judge_kept(path: Path) -> None:
    """Judge results anew of which what they keep is somebody else's."""
    auditor.judge(beside_results(path)).close()


def attempt(work: Callable[..., object], *arguments: object, **options: object) -> None:
    """Do something; our own errors are right."""
    with contextlib.suppress(auditor.AuditError):
        work(*arguments, **options)


def read_results(result: auditor.Audit, random: Random | None = None) -> None:
    """Do all that can be done with results, each by itself; with ``random``, one thing of it."""
    works = list(uses(result))
    for work in works if random is None else [random.choice(works)]:
        attempt(work)


def uses(result: auditor.Audit) -> Iterator[Callable[[], object]]:
    """Each table as a frame, every form, findings and flows in words, what changed, and queries."""
    for table in result.tables:
        yield partial(getattr, result, table)
        yield partial(exported, result, "csv", table)
        yield partial(exported, result, "json", table)
    for form in [*FORMS, "parquet"]:
        yield partial(exported, result, form)
    yield lambda: [result.explain_finding(one) for one in result.findings["finding_id"][:3]]
    yield lambda: [result.explain(int(one)) for one in result.flows["flow_id"][:3]]
    yield partial(result.extract, "TLS101-1", result.folder.parent / "extracted.pcapng", force=True)
    yield result.verify
    yield lambda: result.export_diff(auditor.Audit(results()), "html", io.BytesIO())
    yield lambda: auditor.Audit(results()).export_diff(result, "text", io.BytesIO())
    yield partial(sql, result.folder, "select count(*), max(started) from flows", say=lambda _: None)
    yield partial(shown, result)
    yield partial(repr, result)
    yield result._repr_html_


def exported(result: auditor.Audit, form: str, table: str = "flows") -> None:
    """A form, in which no text acts on whoever reads it."""
    written = io.BytesIO()
    result.export(form, written, table)
    if form not in PACKED:
        harmless(written.getvalue().decode())


def harmless(text: str) -> None:
    """Assert that all of a text is seen as what it is, its lines apart."""
    wrong = {character for character in set(text) - {"\n", "\r", "\t"} if not is_harmless(character)}
    assert not wrong, wrong


def shown(result: auditor.Audit) -> None:
    """What the terminal gets."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        summary.show(result)
        detail.show(result)
    harmless(out.getvalue())


@cache
def history() -> Path:
    """The file of a history."""
    folder = results().parent / "history"
    auditor.Audit(results()).add_to_history(folder)
    return next(folder.glob("*.parquet"))


def of_history(random: Random) -> bytes:
    return mutate.parquet(random, pq.read_table(history()))


def read_history(path: Path) -> None:
    path.rename(path.with_name(history().name))
    drift(path.parent)
    for table in ("runs", "traffic", "found"):
        sql(path.parent, f"select * from {table}")


LOGS = {
    "flow-log": Target("fl.log", of_text(*seeds.LOG_TEXTS), read_witness),
    "flow-log-json": Target("fl.json", of_json(seeds.EVENTS, seeds.INSIGHTS, seeds.FLOW_LOGS), read_witness),
    "flow-log-parquet": Target("fl.parquet", lambda r: mutate.parquet(r, seeds.flow_log_table()), read_witness),
    "cloudtrail": Target("trail.json", of_json(seeds.TRAIL), read_witness),
    "cloudtrail-lines": Target("trail.json", of_lines(*seeds.TRAIL["Records"]), read_witness),
    "eve": Target("eve.json", of_lines(seeds.EVE), read_witness),
    "zeek-json": Target("ssl.log", of_lines(seeds.ZEEK), read_witness),
    "zeek": Target("conn.log", of_text(seeds.ZEEK_TEXT), read_witness),
}
NETWORKS = {
    "topology": Target("site.toml", of_toml(seeds.TOPOLOGY), site.build),
    "policy": Target("own.toml", of_toml(seeds.POLICY), read_policy),
    "account": Target("account.json", of_json(seeds.ACCOUNT), read_account),
    "ip-route": Target("routes.json", of_json(seeds.IP_ROUTE), read_routes),
    "bgp-json": Target("bgp.json", of_json(seeds.BGP), read_routes),
    "bgp-text": Target("bgp.txt", of_text(seeds.SHOW), read_routes),
    "route-text": Target(
        "routes.txt", of_text(*test_route_texts.TEXTS.values(), *test_route_texts.NOWHERE.values()), read_routes
    ),
    "mrt": Target("rib.mrt", of_bytes(*seeds.announced()), read_routes),
    "ranges": Target("ranges.json", of_json(seeds.RANGES), Ranges.read),
    "keys": Target("keys.log", of_text(seeds.KEY_LOG), read_keys),
}
AUDITS = {
    f"audit-{name}": Target(target.file, target.make, audit_with(**{option: kind}), is_slow=True)
    for some, option, kind in ((LOGS, "witnesses", "list"),)
    for name, target in some.items()
} | {
    "audit-topology": Target("site.toml", NETWORKS["topology"].make, audit_with(topology="file"), is_slow=True),
    "audit-policy": Target("own.toml", NETWORKS["policy"].make, audit_with(policy="list"), is_slow=True),
    "audit-parameters": Target("own.toml", of_parameters, audit_with(policy="list"), is_slow=True),
    "audit-account": Target("account.json", NETWORKS["account"].make, audit_with(aws="folder"), is_slow=True),
    "audit-routes": Target("routes.json", NETWORKS["ip-route"].make, audit_with(routes="list"), is_slow=True),
    "audit-bgp": Target("bgp.json", NETWORKS["bgp-json"].make, audit_with(routes="list"), is_slow=True),
    "audit-ranges": Target("ranges.json", NETWORKS["ranges"].make, audit_with(ip_ranges="file"), is_slow=True),
    "audit-keys": Target("keys.log", NETWORKS["keys"].make, audit_with(keylog="list"), is_slow=True),
    "audit-capture": Target("a.pcap", lambda r: mutate.octets(r, r.choice(seeds.captures())), audit_capture, is_slow=True, glance=audit_capture),
    "audit-packets": Target("a.pcap", packets.make, audit_capture, is_slow=True, glance=audit_capture),
    "audit-archive": Target("a.zip", lambda r: mutate.octets(r, r.choice(seeds.archives())), audit_capture, is_slow=True, glance=audit_capture),
}  # fmt: skip
RESULTS = {
    f"results-{name}": Target(name, of_results(name), read_results_of, is_slow=True, glance=read_results_of)
    for name in (MANIFEST, CUSTODY, *(f"{table}.parquet" for table in TABLES))
} | {
    "history": Target("history.parquet", of_history, read_history),
    "kept": Target(KEPT, of_kept, judge_kept, is_slow=True),
}
DECODERS = {
    "certificate": Target("a.der", decoders.make_certificate, decoders.read_certificate),
    "chain": Target("chain", decoders.make_chain, decoders.read_chain, glance=decoders.read_chain),
    "quic": Target("quic", decoders.make_quic, decoders.read_quic),
    "dtls": Target("dtls", decoders.make_dtls, decoders.read_dtls, glance=decoders.glance_at_dtls),
    "seal": Target("seal.sig", decoders.make_seal, decoders.read_seal),
    "stamp": Target("a.tsr", decoders.make_stamp, decoders.read_stamp),
    "signers": Target("signers", of_text(seeds.SIGNERS), key_files.signers),
    "signature": Target("request", decoders.make_signature, decoders.read_signature),
    "dissected": Target("packets.json", dissected.make, dissected.read),
    "packets": Target("a.pcap", packets.make, packets.read, glance=packets.glance),
    "archive": Target("a.bin", packed_archives.make, packed_archives.read),
}
TARGETS: dict[str, Target] = {**DECODERS, **LOGS, **NETWORKS, **AUDITS, **RESULTS}
