"""Dissecting that does not come to its end: what was read counts, and no flow passes by what was not."""

import io
import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyshark
import pytest

import auditor
from auditor.requests import decrypt, opener
from auditor.requests.cut import Cut
from auditor.requests.decrypt import Dissected, Stage
from auditor.requests.dissection import Dissection
from auditor.requests.http import request
from auditor.requests.inside import FlowOpener
from tests import wire
from tests.test_clear_requests import ENDPOINT
from tests.test_signing import KEY, v4

SIGNED = {"host": "pinpoint.us-east-1.amazonaws.com", **v4(f"{KEY}/20261124/us-east-1/mobiletargeting/aws4_request")}
CLEAR = b"GET /v1/apps HTTP/1.1\r\nHost: pinpoint.us-east-1.amazonaws.com\r\n\r\n"
LATE = "tshark did not come to an end (it took longer than 7 s)"


def row(flow: int) -> dict[str, Any]:
    """A signed request as the child reports it."""
    return request(flow, 1, "GET", "/v1/apps", SIGNED, scheme="http", salt=b"").out()


@pytest.mark.parametrize(
    ("failure", "partial", "lacking", "verdict"),
    [
        (None, None, "", "pass"),
        (LATE, None, LATE, "not_observable"),
        (None, decrypt.CAPPED, decrypt.CAPPED, "not_observable"),
    ],
    ids=["all", "late", "of this flow"],
)
def test_some_requests_are_not_all(
    audit_bytes: Callable[..., auditor.Audit],
    monkeypatch: pytest.MonkeyPatch,
    failure: str | None,
    partial: str | None,
    lacking: str,
    verdict: str,
) -> None:
    """A flow of which only some requests were read does not pass by these, and it is said why; the requests are told."""

    def opened(self: FlowOpener, _: Any, wanted: Any) -> tuple[list[dict[str, Any]], str | None]:
        flow = int(wanted.identifier[0])
        self.partial = {} if partial is None else {flow: partial}
        where = {"flow_id": flow, "shown": 4, "frame": 4, "where": "4", "capture": "test.pcap", "time": wire.SECOND}
        return [{name: value for name, value in row(0).items() if name != "flow"} | where], failure

    monkeypatch.setattr(FlowOpener, "opened", opened)
    monkeypatch.setattr(opener, "begin", lambda *_: None)
    talk = wire.Talk(dport=80, server=ENDPOINT).open().play([("c", CLEAR)])
    told = audit_bytes(wire.pcap(talk.packets))
    assert len(told.requests) == 1
    judged = told.verdicts.set_index("rule")
    assert [judged.verdict[rule] for rule in ("REQ101", "REQ102", "REQ104")] == [verdict] * 3
    assert lacking in str(judged.reason["REQ101"])


def run(lines: list[dict[str, Any]], most: int = 9) -> Dissected:
    """What is taken of a child that says these lines."""
    child: Any = type("Child", (), {"stdout": io.BytesIO(b"".join(json.dumps(one).encode() + b"\n" for one in lines))})
    return decrypt._run(child, Cut(frames=[1], times=[1]), Stage(1), 7, most)


def test_what_the_child_says_last() -> None:
    """What was found until its time was over counts; what has no room in memory, or is cut off, is told."""
    done = {"done": True, "notes": [], "opened": [], "partial": [[0, "why"]]}
    late = run([row(0), {"failed": "time"}, row(0), done])
    assert (len(late.requests), late.failure, late.partial) == (2, LATE, {0: "why"})
    full = run([row(0), row(0), done], most=1)
    assert (len(full.requests), full.failure) == (1, decrypt.NO_MEMORY)
    assert run([row(0)]).failure == decrypt.ENDED
    assert run([row(0), done]).failure is None


@pytest.mark.parametrize(("end", "is_whole"), [("exit 0", True), ("exit 2", False), ("kill -SEGV $$", False)])
def test_a_tshark_that_ends_before_its_time(end: str, is_whole: bool) -> None:
    """A tshark that a fault or a lack of memory ended has not dissected everything, and is not taken for one that has."""
    begun = subprocess.Popen(["/bin/sh", "-c", end], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def dissected() -> list[Any]:
        with Dissection(__file__, "tshark", begun=begun) as packets:
            return list(packets)

    with ThreadPoolExecutor(1) as thread:  # which has no event loop that tests before have left running
        done = thread.submit(dissected)
        if is_whole:
            assert done.result() == []
        else:
            with pytest.raises(pyshark.capture.capture.TSharkCrashException):
                done.result()
