"""Stages and what adds up: parts of an audit merge in any order and grouping, and all of it goes to another process."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auditor
from auditor.audit import before, building, judged, opened, pipeline
from auditor.audit.described import Described
from auditor.audit.judged import Judged
from auditor.audit.located import Located
from auditor.audit.opened import Opened
from auditor.audit.run import Run
from auditor.audit.totals import Totals
from auditor.capture.inputs import expand
from auditor.options import Options
from auditor.policy.check import FAIL
from auditor.policy.findings import findings_table
from auditor.policy.totals import VerdictTotals
from auditor.reading.following import Reading
from auditor.requests import keys
from auditor.requests.inside import FlowOpener
from auditor.tables.columns import Texts
from tests import wire
from tests.conftest import SAMPLES
from tests.test_findings import REASONS, RULES, subject

ENHANCED_PACKET = 6  # block type of pcapng, section 4.3
OPTIONS = Options(topology=SAMPLES / "site.toml", policy=("aws-pinpoint", "capture-quality"))


class Kept:
    """A sink that keeps tables in memory."""

    def __init__(self) -> None:
        self.tables: dict[str, list[pa.Table]] = {}
        self.manifest: dict[str, Any] = {}

    def write(self, table: str, data: pa.Table) -> None:
        self.tables.setdefault(table, []).append(data)

    def take(self, table: str, part: Path) -> None:
        self.write(table, pq.read_table(part))

    def include(self, name: str, digest: str) -> None:
        """Nothing lies beside tables in memory."""

    def finish(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest

    def abandon(self) -> None:
        self.tables.clear()


def run_of(paths: list[Path], first: int = 0, options: Options = OPTIONS) -> Run:
    """An audit of captures, each by itself, read to their ends."""
    inputs = expand(paths)
    reading = Reading(inputs, apart=True)
    try:
        inside = FlowOpener(keys.read([], may_come=False), options.http, b"the salt of all parts")
        run = Run(building.build_pipeline(options, inside, before.ceiling_of(options)), Kept(), first)
        run.take(reading)
    finally:
        reading.close()
    return run


def pieces_of(path: Path, folder: Path, count: int) -> list[Path]:
    """A pcapng cut into captures of as many packets each, with all its other blocks in each."""
    blocks = list(wire.blocks_of(path.read_bytes()))
    packets = [number for number, (kind, _) in enumerate(blocks) if kind == ENHANCED_PACKET]
    bounds = [packets[len(packets) * k // count] for k in range(count)] + [len(blocks)]
    pieces = []
    for number, (begin, end) in enumerate(pairwise(bounds)):
        mine = (block for at, (kind, block) in enumerate(blocks) if kind != ENHANCED_PACKET or begin <= at < end)
        pieces.append(folder / f"{path.stem}-{number}.pcapng")
        pieces[-1].write_bytes(b"".join(mine))
    return pieces


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Totals]]:
    """The totals of pieces of the office sample, of a whole capture and of no capture; and a run that writes them."""
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "none.pcap").write_bytes(b"this is no capture at all")
    paths = [*pieces_of(SAMPLES / "office.pcapng", folder, 4), SAMPLES / "tls1.2.pcapng", folder / "none.pcap"]
    runs = [run_of([path], number) for number, path in enumerate(paths)]
    return runs[0], [run.totals() for run in runs]


def written(run: Run, totals: Totals) -> dict[str, Any]:
    """All tables and entries of the manifest that are built from totals."""
    sink = Kept()
    whole = Run(run.pipeline, sink)
    whole.finish(OPTIONS, totals)
    tables = {name: [part.to_pydict() for part in pieces] for name, pieces in sink.tables.items()}
    return {"tables": tables, "manifest": sink.manifest}


@given(st.data())
@settings(max_examples=15)
def test_totals_merge_in_any_order(parts: tuple[Run, list[Totals]], data: st.DataObject) -> None:
    """Whatever parts are merged first, the tables and the manifest say the same."""
    run, every = parts
    left = list(data.draw(st.permutations(every)))
    while len(left) > 1:
        at = data.draw(st.integers(0, len(left) - 2))
        left[at : at + 2] = [left[at].merge(left[at + 1])]
    assert written(run, left[0]) == written(run, reduce(Totals.merge, every))


def test_no_totals_are_neutral(parts: tuple[Run, list[Totals]]) -> None:
    """A part in which nothing was seen changes nothing."""
    run, every = parts
    assert written(run, every[0].merge(Totals())) == written(run, every[0]) == written(run, Totals().merge(every[0]))


def test_totals_of_parts_are_those_of_the_whole(tmp_path: Path) -> None:
    """Captures audited in several processes and merged say of verdicts, times, captures and certificates what one audit says."""
    paths = [*pieces_of(SAMPLES / "office.pcapng", tmp_path, 3), SAMPLES / "tls1.2.pcapng"]
    whole = run_of(paths)
    merged = reduce(Totals.merge, [run_of([path], number).totals() for number, path in enumerate(paths)])
    one, other = written(whole, whole.totals()), written(whole, merged)
    for findings in (one["tables"]["findings"], other["tables"]["findings"]):
        for table in findings:
            table.pop("sample_flows")  # flows of captures that are audited apart are numbered differently
            table["proof"] = [
                [(part["capture"], part["frames"]) for part in json.loads(text)]
                for text in table.pop("evidence")
                if text
            ]
    assert one == other


@given(st.lists(st.integers(1, 400), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_findings_of_batches_merge_as_they_are_gathered(cuts: list[int], random: Any) -> None:
    """Batches gathered apart and merged in any order make the findings that one place gathers, samples too."""
    numbers = np.random.default_rng(3)
    clients, servers = (10 << 24) + numbers.integers(0, 1 << 12, 400), numbers.integers(0, 5, 400)
    bounds = sorted({0, 400, *cuts})
    one, apart = VerdictTotals(), []
    for begin, end in pairwise(bounds):
        who = subject(clients[begin:end], servers[begin:end])
        who.started, who.flow_id = who.started + begin, who.flow_id + begin
        every = np.arange(end - begin)
        for totals in (one, VerdictTotals()):
            totals.findings.gather(RULES[0], every, np.full(len(every), FAIL), every % 2, REASONS, who)
            totals.add_late(0, every[::3], who)
        apart.append(totals)
    random.shuffle(apart)
    merged = reduce(VerdictTotals.merge, apart)
    tables = [findings_table(totals.findings.ordered(), {}).to_pylist() for totals in (one, merged)]
    assert tables[0] == tables[1]
    late = [{number: vars(one) for number, one in totals.exemptions.items()} for totals in (one, merged)]
    assert late[0] == late[1]


def echo(value: Any) -> Any:
    """What another process was given."""
    return value


@pytest.fixture(scope="module")
def other_process() -> Iterator[ProcessPoolExecutor]:
    """A process that shares nothing with this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def stages() -> list[Any]:
    """Each stage of the batches of two samples: with a topology, and with requests in clear."""
    passed: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:

        def noted(batch: Opened, *rest: Any) -> Judged:
            done = judged.judge(batch, *rest)
            passed.extend([batch.located.described, batch.located, batch, done])
            return done

        patch.setattr(pipeline, "judge", noted)
        run_of([SAMPLES / "office.pcapng"])
        run_of([SAMPLES / "requests.pcapng"], options=Options(http=True))
    return passed


def test_stages_go_to_another_process(stages: list[Any], other_process: ProcessPoolExecutor) -> None:
    """Each stage of a batch comes back from a spawned process as it was, and makes the same tables."""
    assert {type(stage) for stage in stages} == {Described, Located, Opened, Judged}
    for stage in stages:
        back = other_process.submit(echo, stage).result()
        assert type(back) is type(stage)
        if isinstance(stage, Judged):
            assert list(back.tables()) == list(stage.tables())
        else:
            assert len(back) == len(stage)


def test_stages_are_frozen(stages: list[Any]) -> None:
    """No later stage can change an earlier one."""
    for stage in stages:
        with pytest.raises(AttributeError):
            stage.described = None


def test_facts_are_the_same_in_another_process(stages: list[Any], other_process: ProcessPoolExecutor) -> None:
    """What rules may ask of a batch does not depend on the process that asks."""
    for stage in stages:
        if isinstance(stage, Opened):
            there = opened.OpenedFacts(other_process.submit(echo, stage).result())
            for name, column in opened.OpenedFacts(stage).items():
                one, two = (c.objects() if hasattr(c, "objects") else c for c in (column, there[name]))
                if name != "requests":
                    assert one.tolist() == two.tolist(), name


def test_totals_go_to_another_process(parts: tuple[Run, list[Totals]], other_process: ProcessPoolExecutor) -> None:
    """Totals come back from a spawned process and merge with those that stayed."""
    run, every = parts
    back = other_process.submit(echo, every[1]).result()
    assert written(run, every[0].merge(back)) == written(run, every[0].merge(every[1]))


def test_matches_of_witnesses_survive_another_process(other_process: ProcessPoolExecutor, tmp_path: Path) -> None:
    """Which rows of a log fit flows is kept by number, and so is known wherever the totals are."""
    log = tmp_path / "conn.log"
    flow = auditor.audit(SAMPLES / "tls1.2.pcapng").flows.iloc[0]
    log.write_text(
        "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\n"
        f"{flow.started.timestamp()}\tC1\t{flow.client_ip}\t{flow.client_port}\t{flow.server_ip}\t{flow.server_port}\n"
        f"{flow.started.timestamp()}\tC2\t192.0.2.1\t1\t192.0.2.2\t2\n"
    )
    run = run_of([SAMPLES / "tls1.2.pcapng"], options=Options(witnesses=[log]))
    back = other_process.submit(echo, run.totals()).result()
    (row,) = run.pipeline.judge.witnesses.rows(back.witnesses)
    assert (row["rows"], row["matched"], row["flows_matched"]) == (2, 1, 1)


@given(index=st.lists(st.integers(-1, 4), max_size=12), order=st.permutations(["a", "b", "c", "b", None]))
def test_columns_do_not_show_how_texts_were_numbered(index: list[int], order: list[str | None]) -> None:
    """A column of texts has the same rows and dictionary by whatever numbers its texts were known before."""
    kind = pa.dictionary(pa.int16(), pa.string())
    texts = [None if at < 0 else order[at] for at in index]
    column = Texts(order, np.array(index, np.int64)).arrow(kind)
    assert column.to_pylist() == texts
    assert column.dictionary.to_pylist() == [text for text in dict.fromkeys(texts) if text is not None]
