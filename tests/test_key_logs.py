"""Key logs as programs and editors write them, and what is said of keys that do not open a session."""

import os
import shutil
import ssl
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

import auditor
from auditor.errors import InputError
from auditor.machine import memory
from auditor.requests import keys as key_logs
from auditor.requests.inside import FlowOpener
from auditor.requests.keys import Keys
from tests import carriers, wire
from tests.conftest import ROOT

CASES = Path(os.environ.get("AUDITOR_CASES", ROOT.parent / "shared" / "cases")) / "captures"
RANDOM, SECRET = "ab" * 32, "cd" * 48
LINE = f"CLIENT_RANDOM {RANDOM} {SECRET}"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + LINE.encode(),
        ("\ufeff" + LINE + "\r\n").encode("utf-16-le"),
        ("\ufeff" + LINE + "\n").encode("utf-16-be"),
        (LINE + "\r\n").encode("utf-16-le"),
        f"CLIENT_RANDOM {RANDOM.upper()} {SECRET.upper()}\r\n".encode(),
        f"2026-11-25T09:00:00Z host curl[17]: {LINE}\n".encode(),
        f'{{"log":"{LINE}\\n","stream":"stderr","time":"2026-11-25T09:00:00Z"}}\n'.encode(),
        f"time=2026-11-25 msg='{LINE}' level=debug\n".encode(),
        f"client_random\t{RANDOM}  {SECRET}\n".encode(),
        f"{LINE}   # the second connection\n".encode(),
        f"# written by an old editor\r{LINE}\r".encode(),
        f"\x1b[36mapp-1\x1b[0m | \x1b[1m{LINE}\x1b[0m\n".encode(),
        LINE.replace(" ", "\u00a0").encode(),
        (LINE + "\n").encode("utf-32"),
    ],
    ids=[
        "UTF-8 mark",
        "UTF-16 LE",
        "UTF-16 BE",
        "UTF-16 without a mark",
        "capitals and CRLF",
        "a log system's prefix",
        "JSON of a container",
        "a quoted message",
        "a small label and tabs",
        "a comment behind",
        "carriage returns alone",
        "colours of a terminal",
        "spaces that do not break",
        "UTF-32",
    ],
)
def test_one_line_in_many_dresses(data: bytes) -> None:
    """The secret is taken, without what stands before it, however the file is encoded and in whatever pieces it comes."""
    for pieces in ([data], [data[:1], data[1:]], [data[k : k + 7] for k in range(0, len(data), 7)]):
        keys = Keys()
        log = keys.add("log", pieces)
        assert (log.lines, log.wrong) == (1, 0)
        assert keys.by_random[bytes.fromhex(RANDOM)][0].lower() == LINE.lower().encode()


HANDSHAKE = ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"]
DATA = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (HANDSHAKE, "only the secrets of its handshake are given"),
        (DATA, "the secrets of its handshake are not given"),
        (DATA[:1], "only the client's traffic secret is given"),
        ([*HANDSHAKE, DATA[1]], "only the server's traffic secret is given"),
        (["EXPORTER_SECRET", "ECH_SECRET"], "no secret of its records is given"),
        ([*HANDSHAKE, *DATA], None),
        (["CLIENT_RANDOM"], None),
        ([], None),
    ],
)
def test_what_secrets_lack(labels: list[str], words: str | None) -> None:
    """Of a session of which not all secrets are given it is said which are, or are not."""
    keys = Keys()
    keys.add("log", [f"{label} {RANDOM} {SECRET}\n".encode() for label in labels])
    assert keys.lacking([(int(RANDOM[:16], 16), int(RANDOM[16:32], 16))]) == words


@pytest.mark.parametrize("label", ["CLIENT_RANDOM", *HANDSHAKE, *DATA])
def test_two_secrets_of_one_name(label: str) -> None:
    """Where a session's secret is given twice and differs, that is said; the same one again, in capitals too, is nothing to say."""
    other = SECRET[:-1] + ("0" if SECRET[-1] != "0" else "1")
    for second, words in (
        (SECRET.upper(), None),
        (other, "different secrets are given by the same name, of which none that was tried fits"),
    ):
        keys = Keys()
        labels = ["CLIENT_RANDOM"] if label == "CLIENT_RANDOM" else [*HANDSHAKE, *DATA]
        lines = [f"{one} {RANDOM} {SECRET}\n".encode() for one in labels]
        keys.add("log", [*lines, f"{label} {RANDOM} {second}\n".encode()])
        assert keys.lacking([(int(RANDOM[:16], 16), int(RANDOM[16:32], 16))]) == words


def session(folder: Path, version: ssl.TLSVersion) -> tuple[bytes, list[str]]:
    """A capture of one request to AWS over TLS, and the lines of the client's key log."""
    server_context, client_context = carriers.context(folder), ssl.create_default_context()
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    client_context.keylog_filename = str(folder / "own.log")
    client_context.minimum_version = client_context.maximum_version = version
    request = b"GET /v1/apps HTTP/1.1\r\nHost: pinpoint.us-east-1.amazonaws.com\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    flights = carriers.session(client_context, server_context, request, answer)
    lines = [one for one in (folder / "own.log").read_text().splitlines() if not one.startswith("#")]
    return wire.pcap(wire.Talk().open().play(flights, 1200).packets), lines


def wrong(line: str, digit: str) -> str:
    """The same line with another secret."""
    head, _, secret = line.rpartition(" ")
    return f"{head} {digit * len(secret)}"


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_of_several_secrets_is_tried(
    tmp_path: Path, audit_bytes: Callable[..., auditor.Audit], version: ssl.TLSVersion
) -> None:
    """Of several secrets by one name the one that fits opens a session wherever it stands, and it is said that it was not the last."""
    capture, own = session(tmp_path, version)
    traffic = next(line for line in own if line.startswith(("CLIENT_RANDOM", "CLIENT_TRAFFIC_SECRET_0")))
    others = {digit: [wrong(line, digit) for line in own] for digit in "012"}
    for lines, is_last in (
        ([*others["0"], *own], True),
        ([*own, *others["0"]], False),
        ([*others["0"], *own, *others["1"], *others["2"]], False),
        ([*own, wrong(traffic, "3")], False),
    ):
        log = tmp_path / "keys.log"
        log.write_text("\n".join(lines) + "\n")
        result = audit_bytes(capture, keylog=[log])
        assert wire.only(result.requests)["status"] == 200
        told = [note for note in result.manifest["notes"] if "of the same name further on" in note]
        assert bool(told) != is_last
    log.write_text("\n".join([*others["0"], *others["1"]]) + "\n")
    result = audit_bytes(capture, keylog=[log])
    assert result.requests.empty
    reason = next(row["reason"] for row in result.rows("verdicts", "rule", "reason") if row["rule"] == "REQ101")
    assert "none that was tried fits" in reason


@pytest.mark.parametrize("line", [LINE + "g", LINE + "-", "X" + LINE, LINE.replace(" ab", " gb"), LINE[:-70]])
def test_lines_that_are_damaged(line: str) -> None:
    """A line whose secret is cut or has other characters in it is counted as wrong, not taken for another secret."""
    keys = Keys()
    assert keys.add("log", [line.encode()]).wrong == 1
    assert not keys


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES}; set AUDITOR_CASES")
@pytest.mark.parametrize(
    ("case", "log", "words"),
    [
        ("56-wrong-key", "wrong-secret.log", "the keys given do not fit this session"),
        ("55-key-log-without-application-secrets", "handshake-only.log", "only the secrets of its handshake"),
    ],
)
def test_keys_that_open_nothing_say_so(case: str, log: str, words: str) -> None:
    """Nothing is said of contents that were not read."""
    told = auditor.audit(CASES / case / "c.pcap", keylog=[CASES / case / log])
    reasons = [row["reason"] for row in told.rows("verdicts", "rule", "reason") if row["rule"] == "REQ101"]
    assert len(reasons) == 1
    assert words in reasons[0]


def many(count: int) -> str:
    """As many secrets, each of a session of its own."""
    return "".join(f"CLIENT_RANDOM {number:064x} {SECRET}\n" for number in range(count))


def test_secrets_take_their_part_of_the_memory(tmp_path: Path) -> None:
    """A key log whose secrets take more than their part of --memory is refused, and the sentence says what to do."""
    path = tmp_path / "keys.log"
    room = memory.ceiling(memory.LEAST).part(memory.SECRETS)
    path.write_text(many(room // key_logs.LINE))
    assert key_logs.read([path], memory=room).lines == room // key_logs.LINE
    with path.open("a") as file:
        file.write(f"{LINE}\n")
    with pytest.raises(
        InputError, match=r"keys\.log: its secrets take more than 20 MiB .*; give --memory a larger size"
    ):
        auditor.audit(ROOT / "captures" / "office.pcapng", keylog=path, memory=memory.LEAST)


def test_a_line_takes_what_is_said(tmp_path: Path) -> None:
    """What a line of secrets is said to take in memory is what it takes."""
    path = tmp_path / "keys.log"
    path.write_text(many(20_000))
    tracemalloc.start()
    keys = key_logs.read([path])
    taken = tracemalloc.get_traced_memory()[0] / keys.lines
    tracemalloc.stop()
    assert taken <= key_logs.LINE


def test_secrets_inside_of_captures_that_are_left_out() -> None:
    """Where secrets that a capture holds have no room, it is said how many were left out."""
    inside = FlowOpener(Keys(most=3))
    inside.learn("a.pcapng", [many(10).encode(), b"no secret\n"])
    assert inside.all_notes()[0].startswith("a.pcapng (secrets in the pcapng): 7 lines of secrets were left out")


def test_a_hole_is_no_key_log(tmp_path: Path) -> None:
    """A file of terabytes in which nothing was written is not read to its end to see that."""
    path = tmp_path / "hole.log"
    with path.open("wb") as file:
        file.truncate(8 << 40)
    with pytest.raises(InputError, match="holds no secrets of TLS sessions"):
        key_logs.read([path])
