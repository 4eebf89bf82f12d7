"""What a person sees at the terminal: the answer first, nothing that is not so, and whole words at every width."""

import bz2
import os
import pty
import random
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import auditor
from auditor.cli import summary, terminal
from auditor.policy import library
from auditor.report import overview
from auditor.report.causes import causes
from auditor.report.problems import problems
from tests import commands, wire
from tests.conftest import ROOT, SAMPLES

ESCAPE = "\x1b"
OFFICE = ("pcap", "captures/office.pcapng", "--topology", "captures/site.toml")
DNS_QUERY = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01"
ALL_TLS = """
id = "ours"
title = "Ours"
edition = "1"
source = "us"
retrieved = 2026-11-27
extends = ["aws-pinpoint"]
[[change]]
code = "TLS101"
applies_to = "all"
"""


@cache
def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the program says; the same is asked once."""
    return commands.run(*arguments, env={**os.environ, "TERM": "dumb", "COLUMNS": "120", **variables}, cwd=ROOT)


def on_a_terminal(arguments: tuple[str, ...], variables: dict[str, str], rows: int = 40, columns: int = 100) -> str:
    """What the program writes to a pseudo-terminal."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color"} | variables
    command = [sys.executable, "-m", "auditor", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            parts.append(part)
        process.wait()
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def no_aws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture with one TLS 1.0 handshake to a server that is not AWS's, and DNS."""
    folder = tmp_path_factory.mktemp("elsewhere")
    hello = wire.client_hello("www.example.org", version=0x0301)
    talk = wire.Talk().open()
    talk.play(
        [
            ("c", wire.record(22, hello, 0x0301)),
            ("s", wire.record(22, wire.server_hello(version=0x0301, suite=0x002F), 0x0301)),
        ]
    )
    return wire.write(folder, wire.pcap([*talk.packets, wire.datagram(DNS_QUERY)]), "elsewhere.pcap")


def test_the_answer_comes_first() -> None:
    """The sentence, then what was audited, problems, paths and versions, what could not be judged, in this order."""
    done = run(*OFFICE)
    assert done.returncode == 0
    heads = (
        "Of 20 judged flows",
        "captures/office.pcapng:",
        "Problems (9)",
        "by path and version",
        "Could not be judged",
    )
    places = [done.stdout.index(head) for head in heads]
    assert places[0] == 0
    assert places == sorted(places)
    assert len(done.stdout.splitlines()) <= 40
    assert not re.search(r" $", done.stdout, re.MULTILINE)


def test_a_problem_is_one_row_with_all_its_rules() -> None:
    """Who, to what, what is wrong, how many flows, and every rule stand together."""
    words = " ".join(run(*OFFICE, COLUMNS="200").stdout.split())
    assert (
        "high 10.20.2.0/24 → pinpoint us-east-1: TLS 1.0 negotiated, RSA key exchange, no DHE or ECDHE suite "
        "offered, support of this API ended on 2026-10-30 · 2 flows · TLS101 TLS102 TLS103 API101" in words
    )


def test_problems_are_shortened_from_the_last_one() -> None:
    """Where lines are few, problems say in few words what is wrong, the worst last, and keep flows and every rule."""
    rows = [re.sub(r"\s+", " ", run(*OFFICE, COLUMNS=columns).stdout) for columns in ("120", "200")]
    said = [
        re.findall(
            r"(?:critical|high|medium|info) (\S+ → [^:]+): (.+?) · (?:warning · )?(\d+ flows?) · ((?:[A-Z]+\d+ ?)+)",
            one,
        )
        for one in rows
    ]
    assert [(who, flows, rules) for who, _, flows, rules in said[0]] == [(w, f, r) for w, _, f, r in said[1]]
    assert len(said[0]) == 9
    for (_, short, _, _), (_, whole, _, _) in zip(*said, strict=True):
        head, _, more = short.partition(" and ")
        assert whole.startswith(head)
        between = "; " if "; " in whole else ", "  # where what is said has commas or colons itself
        assert not more or whole.count(between) - head.count(between) == int(more.removesuffix(" more"))


def test_brief_is_the_sentence_alone() -> None:
    """--brief prints the answer of Audit.answer, and nothing else."""
    result = auditor.audit(SAMPLES / "office.pcapng", topology=SAMPLES / "site.toml")
    assert run(*OFFICE, "--brief", COLUMNS="60").stdout == f"{result.answer}\n"


def test_detail_has_every_finding(office: Any) -> None:
    """--detail prints each finding with its frames, and each request."""
    text = run(*OFFICE, "--detail").stdout
    assert all(re.search(rf"\b{one}\b", text) for one in office.findings["finding_id"])
    assert "168 171 173" in text
    assert "Requests (2)" in text


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_word_is_cut(columns: int) -> None:
    """At every width each line fits, and every word and number of the widest print is there, whole."""
    widest = {word.rstrip(",") for word in run(*OFFICE, COLUMNS="1000").stdout.split()}
    text = run(*OFFICE, COLUMNS=str(columns)).stdout
    assert all(len(line) <= columns for line in text.splitlines())
    more = r"… and \d+ more problems \(.*?\); --detail\s+lists\s+all\s+findings|\band\s+\d+\s+more\b"
    shown = re.sub(more, "", text, flags=re.DOTALL)
    assert {word.rstrip(",") for word in shown.split()} <= widest


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_plain_terminals_get_no_escapes(variables: dict[str, str]) -> None:
    """With NO_COLOR, or on a dumb terminal, there is not one escape sequence; elsewhere there are colours."""
    assert ESCAPE not in on_a_terminal(OFFICE, variables)


@pytest.mark.parametrize("columns", [60, 200])
def test_a_dumb_terminal_is_as_wide_as_it_is(columns: int) -> None:
    """Lines are as long as the terminal says that it is wide, also where it can do nothing else."""
    lines = on_a_terminal(("policies",), {"TERM": "dumb"}, columns=columns).splitlines()
    assert columns - 20 < max(map(len, lines)) <= columns or columns == 200
    assert (len(lines) == 2 + len(library.shipped())) == (columns == 200)


def test_colours_on_a_terminal() -> None:
    """A terminal that can gets colours, and a screen's lines of problems say how many more there are."""
    text = on_a_terminal(OFFICE, {}, rows=24, columns=80)
    assert ESCAPE in text
    assert re.search(r"… and \d+ more problems \(", text)


def test_nothing_judged_is_no_pass(no_aws: Path) -> None:
    """Without traffic that the rules are about there is no green word, only that nothing was judged, and what would."""
    text = run("pcap", no_aws, COLUMNS="300").stdout
    assert text.startswith(
        "Nothing was judged: these policies are about traffic to AWS, of which there is none; --all judges everything."
    )
    assert "No findings" not in text
    assert "Other flows, not judged: 1 TLS 1.0, 1 dns" in text


def test_all_judges_everything(no_aws: Path) -> None:
    """With --all, traffic to any server is judged, and no longer among what was not."""
    text = run("pcap", no_aws, "--all", COLUMNS="300").stdout
    assert text.startswith("Of 1 judged flow, none provably took a private path and the path of 1 is unknown")
    assert "10.0.0.0/24 → www.example.org: TLS 1.0 negotiated" in text
    assert "Judged flows by path and version" in text
    assert "not judged: 1 dns" in text


def test_what_a_policy_judges_of_all_traffic_is_judged(no_aws: Path, tmp_path: Path) -> None:
    """A rule of a user's that applies to all traffic counts as --all does: what it judged is not called unjudged."""
    (tmp_path / "ours.toml").write_text(ALL_TLS)
    text = run("pcap", no_aws, "--policy", tmp_path / "ours.toml", COLUMNS="300").stdout
    assert text.startswith("Of 1 judged flow")
    assert "Other flows, not judged: 1 dns" in text


def test_no_findings_is_said_of_what_was_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where flows could not be judged in full, that there are no findings is no good news and not green."""
    talk = wire.Talk().open().play([("c", wire.record(22, wire.client_hello("www.example.org")))])
    result = auditor.audit(wire.write(tmp_path, wire.pcap(talk.packets)), all_traffic=True)
    assert "could not be judged in full" in result.answer
    summary.show(result)
    assert "No findings in what could be judged." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [("0x0305", "TLS 0x0305"), ("0xfefa", "DTLS 0xfefa"), ("0x0100", "DTLS 0x0100"), ("smb-clear", "smb in clear")],
)
def test_protocols_are_said_in_words(name: str, words: str) -> None:
    """A number or a name of ours does not stand alone where people read; versions without a name are versions all the same."""
    assert overview.protocol_words(name) == words
    assert overview.is_version(words) == name.startswith("0x")
    assert not overview.is_version(overview.protocol_words("ssh"))


def test_private_is_never_said_alone() -> None:
    """Private addresses whose way is not known are called that, in every confidence."""
    for confidence in ("none", "likely", "confirmed"):
        words = overview.OverviewLine("private", confidence, False, "TLS 1.3", Counter({"pass": 1})).words
        assert "by which way is not known" in words


def test_warnings_of_all_captures_are_told(tmp_path: Path) -> None:
    """Warnings of 30 captures are counted by kind, however many captures have them; none is dropped unsaid."""
    for number in range(30):
        packets = wire.pcap([wire.datagram(b"x")] * (number + 1))
        wire.write(tmp_path, packets[:-3] if number % 2 else wire.pcap([], link=147), f"{number:02}.pcap")
    text = " ".join(run("pcap", tmp_path, COLUMNS="300").stdout.split())
    assert "00.pcap and 14 more captures: link type 147" in text
    assert re.search(
        r"01\.pcap and 14 more captures: cut short: the last record begins at byte 83 and is not whole \(the numbers are those of the first\)",
        text,
    )
    assert re.search(r"00\.pcap and 14 more captures: holds no packets(?! \()", text)


@pytest.mark.parametrize("options", [("--brief",), ("--format", "csv"), ("--format", "concise")])
def test_warnings_are_told_beside_what_has_no_place_for_them(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Where the answer alone, rows or lines are printed, it is on standard error that a capture was cut short."""
    path = wire.write(tmp_path, (SAMPLES / "tls1.2.pcapng").read_bytes()[:-20])
    done = run("pcap", path, *options)
    assert done.returncode == 0
    assert f"audit: {path}: cut short: " in done.stderr
    assert "cut short" not in done.stdout
    assert run("pcap", path, "--out", tmp_path / "out", "--quiet").stderr == ""


def test_frames_carry_their_capture_where_there_are_several(tmp_path: Path) -> None:
    """Of several captures, each frame is told with its capture, in all forms of the terminal."""
    hello, answer = wire.client_hello(version=0x0301), wire.server_hello(version=0x0301, suite=0x002F)
    for number, name in enumerate(("one.pcap", "two.pcap")):
        talk = wire.Talk(sport=4000 + number).open()
        talk.play([("c", wire.record(22, hello, 0x0301)), ("s", wire.record(22, answer, 0x0301))])
        wire.write(tmp_path, wire.pcap(talk.packets), name)
    arguments = ("pcap", tmp_path / "one.pcap", tmp_path / "two.pcap")
    assert re.search(r"one\.pcap: \d+", run(*arguments, "--detail", COLUMNS="300").stdout)
    for form in ("concise", "markdown", "cef"):
        assert re.search(r"two\.pcap:\d+", run(*arguments, "--format", form).stdout.replace("\\", ""))


def test_concise_is_one_finding_a_line(office: Any) -> None:
    """--format concise has a line for each finding: severity, code, client, server, flows, capture:frames."""
    lines = [line.split("\t") for line in run(*OFFICE, "--format", "concise").stdout.splitlines()]
    unjudged = [line for line in lines if line[0] in ("not_observable", "not_applicable")]
    # These say what no line is about: silence would be taken for a pass.
    assert lines[len(office.findings) :] == unjudged
    assert ["not_observable", "REQ101", "-", "-"] in [line[:4] for line in unjudged]
    del lines[len(office.findings) :]
    assert len(lines) == len(office.findings)
    assert lines[2][:5] == ["high", "TLS101", "10.20.2.0/24", "pinpoint us-east-1", "2"]
    assert re.fullmatch(r"captures/office\.pcapng:\d+(,\d+)*", lines[2][5])


def test_many_problems_fit_a_screen(tmp_path: Path) -> None:
    """Where problems do not fit, those with the same rules are told together, with the flows of all; none is uncounted."""
    hello, answer = (
        wire.client_hello("pinpoint.us-east-1.amazonaws.com", version=0x0301),
        wire.server_hello(version=0x0301, suite=0x002F),
    )
    packets: list[bytes] = []
    for number in range(60):
        talk = wire.Talk(client=f"10.{number}.0.9", sport=4000 + number).open()
        talk.play([("c", wire.record(22, hello, 0x0301)), ("s", wire.record(22, answer, 0x0301))])
        packets += talk.packets
    result = auditor.audit(wire.write(tmp_path, wire.pcap(packets)))
    assert len(problems(result)) == 60
    (cause,) = causes(problems(result), 20)
    assert cause.flows == 60
    assert cause.who == "10.0.0.0/24 and 59 more networks → pinpoint us-east-1"


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """While captures are read a terminal shows bytes, packets, rate and time left, and nothing of it stays."""
    # What does not compress, packed with bzip2, takes seconds to unpack on any machine.
    noise = random.Random(1)
    packets = [wire.datagram(noise.randbytes(1400), sport=number) for number in range(10_000)]
    large = wire.write(tmp_path, bz2.compress(wire.pcap(packets)), "large.pcap.bz2")
    text = on_a_terminal(("pcap", str(large), "--brief"), {})
    shown = [part for part in re.split(r"[\r\n]", text) if part.startswith("reading captures: ")]
    assert shown
    pattern = r"reading captures: [\d.]+ \w+ of [\d.]+ MB \(\d+ %\), [\d,]+ packets, [\d.]+ \w+/s(, \d+ s left)?"
    assert all(re.match(pattern, part) for part in shown)
    assert text.split("\r")[-1].startswith("Nothing was judged")
    for arguments, variables in (
        (("pcap", str(large), "--quiet", "--brief"), {}),
        (("pcap", str(large)), {"TERM": "dumb"}),
    ):
        assert "reading captures" not in on_a_terminal(arguments, variables)


@pytest.mark.parametrize(("columns", "room"), [(0, 79), (12, 11)])
def test_progress_where_the_terminal_has_no_width(monkeypatch: pytest.MonkeyPatch, columns: int, room: int) -> None:
    """A terminal that does not say how wide it is shows progress as well."""
    import io
    from types import SimpleNamespace

    from auditor.audit.progress import Progress
    from auditor.cli import ticker

    shown = io.StringIO()
    monkeypatch.setattr(shown, "fileno", lambda: 2)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 0)))
    monkeypatch.setattr(ticker, "line", lambda _, most: "x" * most)
    one = ticker.Ticker(Progress("loading"))
    waits = iter([False, True])
    one._ended = SimpleNamespace(wait=lambda _: next(waits))  # type: ignore[assignment]
    one._work()
    assert shown.getvalue() == "\r" + "x" * room


def test_progress_in_words() -> None:
    """What is not known is not said: a stream has no end, and before captures are read there is only what is done."""
    from types import SimpleNamespace

    from auditor.audit.progress import CAPTURES, INPUTS, Progress
    from auditor.cli import ticker
    from auditor.requests.decrypt import Stage

    assert ticker.line(Progress(INPUTS)) == "reading routes and logs …"
    stream = SimpleNamespace(size=None, is_skipped=False)
    progress = Progress(CAPTURES, SimpleNamespace(packets=4000, inputs=[stream], done=3_000_000, files=0))
    assert re.fullmatch(r"reading captures: 3\.0 MB, 4,000 packets, [\d.]+ [kMG]?B/s", ticker.line(progress))
    stream.size = 6_000_000
    progress.began -= 3
    assert re.fullmatch(
        r"reading captures: 3\.0 MB of 6\.0 MB \(50 %\), 4,000 packets, [\d.]+ [kM]B/s, 3 s left", ticker.line(progress)
    )
    others = [SimpleNamespace(size=4_000_000, is_skipped=is_skipped) for is_skipped in (True, False)]
    progress.reading = SimpleNamespace(packets=4000, inputs=[stream, *others], done=3_000_000, files=1)
    words = r"reading captures: 1 of 3 files, 3\.0 MB of 10\.0 MB \(30 %\), 4,000 packets, [\d.]+ [kM]B/s, 7 s left"
    assert re.fullmatch(words, ticker.line(progress)), "the bytes of a file that is not to be read do not count"
    assert ticker.line(progress, 79).endswith("(30 %), 7 s left")
    progress.reading = SimpleNamespace(packets=1, inputs=[stream], done=6_000_000, files=1)
    assert ticker.line(progress) == "judging flows of 1 packet …", "what is read is not all that is to be done"
    inside = SimpleNamespace(stage=Stage(2))
    progress.inside = inside  # type: ignore[assignment]
    assert ticker.line(progress) == "looking into 2 flows: reading their packets again …"
    inside.stage = Stage(1, 4_000_000, 1_000_000, 1)
    assert ticker.line(progress) == "looking into 1 flow: 1.0 MB of 4.0 MB (25 %) are with tshark, 1 request"
    assert ticker.line(progress, 70) == "looking into 1 flow: 1.0 MB of 4.0 MB (25 %) are with tshark"
    inside.stage = None
    dropped: list[int | None] = [None]
    behind = [False]
    stream.size = None
    progress.begin(
        SimpleNamespace(packets=4000, inputs=[stream], done=3_000_000, files=0),
        SimpleNamespace(dropped=lambda: dropped[0], is_behind=lambda: behind[0]),  # type: ignore[arg-type]
    )
    progress.began -= 4
    words = r"4,000 packets, 7\d\d\.\d kB/s, [\d,]+ packets/s, drops are told at the end$"
    assert re.search(words, ticker.line(progress))
    behind[0] = True
    assert ticker.line(progress).endswith(", behind: packets may be dropped")
    dropped[0] = 17
    assert ticker.line(progress).endswith(", 17 dropped")
    assert (ticker.time_of(59.6), ticker.time_of(3725)) == ("1 min 0 s", "1 h 2 min")


@pytest.mark.parametrize("columns", [30, 44, 60, 72, 80, 100, 120, 200])
def test_no_line_parts_what_belongs_together(columns: int) -> None:
    """No line ends between a number and its flows, nor within the name of a version, and none begins with a separator."""
    text = on_a_terminal(OFFICE, {"NO_COLOR": "1"}, columns=columns).split("\r")[-1]
    assert terminal.HELD not in text
    for line, following in pairwise(line.strip() for line in text.splitlines()):
        assert not following.startswith("· ")
        assert not (line.endswith(("TLS", "SSL")) and following[:1].isdecimal())
        assert not (line[-1:].isdecimal() and re.match(r"(flow|packet|request)s?\b|%", following))


@pytest.mark.parametrize("columns", [60, 80])
def test_policies_are_whole_on_a_narrow_terminal(columns: int) -> None:
    """Each policy has its name, edition and number of rules, and its title below: whole words and numbers."""
    text = " ".join(on_a_terminal(("policies",), {"NO_COLOR": "1"}, columns=columns).split())
    for one in auditor.policies().to_dict("records"):
        assert re.search(
            rf"{re.escape(one['id'])} {re.escape(one['edition'])}, {one['rules']} rules? {re.escape(one['title'])}",
            text,
        )
