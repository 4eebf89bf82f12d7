"""Letting tshark dissect what was cut out of a capture, in a child process with limits on time and memory."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.errors import InputError
from auditor.reading.merging import Merging
from auditor.recognise.numbers import HTTP, SMTP
from auditor.requests.cut import Cut, Wanted, write
from auditor.requests.opener import Opener, kill
from auditor.tls.revealed import Revealed

SECONDS = 120.0  # that a child may take …
SECONDS_A_MEGABYTE = 2.0  # … and more for what it is given
GRACE = 20.0  # then it says what it has found until then
LONGEST_LINE = 1 << 18
TOO_LATE = "tshark did not come to an end (it took longer than {:.0f} s)"
ENDED = "tshark did not come to an end (it ended before its time: memory, or killed)"
NO_ROOM = "temporary files cannot be written"
CAPPED = "more packets have keys than are opened"
NO_MEMORY = "there are more than fit into memory: give --memory a larger size"
CHANGED = "the capture was changed between its two readings: nothing of the second one counts"


@dataclass(eq=False, repr=False)
class Dissected:
    """The results for the flows of one capture: requests as the child reports them, and what went wrong, in words."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    notes: list[str] = field(default_factory=list)
    packets: int = 0
    opened: set[tuple[int, bool]] = field(default_factory=set)  # flows whose data could be read, and of which side
    revealed: dict[int, Revealed] = field(default_factory=dict)  # what the encrypted handshakes of flows say
    partial: dict[int, str] = field(default_factory=dict)  # flows of whose requests some may be lacking, and why


@dataclass(eq=False, repr=False)
class Stage:
    """How far dissecting is, for whoever shows it."""

    flows: int
    bytes: int = 0  # of packets that tshark is to dissect; 0 while they are looked for in the captures
    given: int = 0  # those that it has taken
    found: int = 0  # requests


def dissect(
    merging: Merging,
    is_same: Callable[[], bool],
    wanted: Wanted,
    secrets: bytes,
    salt: bytes,
    opener: Opener,
    stage: Stage,
    meanwhile: Callable[[], object],
    most: int,
) -> Dissected:
    """The requests in the wanted flows of captures that are read again; ``is_same``: whether these are what they were.

    ``stage`` is kept up to date; ``meanwhile`` is called once the child has got all, and works alone; ``most``: how many
    requests are taken.
    """
    try:
        cut = write(merging, wanted, opener.packets.file)
        stage.bytes = opener.packets.file.tell()
    except OSError as error:  # of a capture, readers tell it themselves
        return Dissected(failure=f"{NO_ROOM}: {error.strerror}; TMPDIR names their folder")
    except InputError as error:
        return Dissected(failure=f"the capture could not be read a second time ({error})")
    if not is_same():
        return Dissected(failure=CHANGED)
    try:
        opener.begin()
    except InputError as error:
        return Dissected(failure=str(error))
    opener.keys.file.write(secrets)
    opener.keys.file.flush()
    limit = SECONDS + SECONDS_A_MEGABYTE * cut.bytes / 1e6
    clear = np.flatnonzero(np.isin(wanted.kind, (HTTP, SMTP))).tolist()
    opener.tell({"salt": salt.hex(), "clear": clear, "seconds": limit})
    meanwhile()
    dissected = _run(opener.child, cut, stage, limit, most)
    if cut.capped:
        dissected.notes.append(f"{CAPPED}: the requests are not complete")
        dissected.partial |= dict.fromkeys(range(len(wanted)), CAPPED)
    return dissected


def _run(child: "subprocess.Popen[bytes]", cut: Cut, stage: Stage, limit: float, most: int) -> Dissected:
    """What the child says of what it was given, in so many seconds, and no more than so many requests."""
    dissected = Dissected(packets=len(cut.frames))
    ended = threading.Timer(limit + GRACE, kill, [child])
    ended.start()
    done = False
    try:
        for line in _lines(child):
            if "done" in line:
                done, dissected.notes = True, line["notes"]
                dissected.partial = dict(line["partial"])
                dissected.opened = {(flow, is_client) for flow, is_client in line["opened"]}
            elif "given" in line:
                stage.given = line["given"]
            elif "revealed" in line:
                _note_revealed(dissected.revealed.setdefault(line["revealed"], Revealed()), line)
            elif "failed" in line:
                late = line["failed"] == "time"
                dissected.failure = (
                    TOO_LATE.format(limit) if late else f"tshark could not dissect it ({line['failed']})"
                )
            elif len(dissected.requests) >= most:
                dissected.failure = NO_MEMORY
                break
            else:
                packet = line.pop("packet") - 1
                line["frame"], line["time"] = cut.frames[packet], cut.times[packet]
                dissected.requests.append(line)
                stage.found += 1
    finally:
        in_time = ended.is_alive()
        ended.cancel()
    if not done and dissected.failure is None:
        dissected.failure = ENDED if in_time else TOO_LATE.format(limit)
    return dissected


def _note_revealed(revealed: Revealed, line: dict[str, Any]) -> None:
    """What one side of an encrypted handshake says."""
    certificates = [bytes.fromhex(text) for text in line["certificates"]]
    if line["is_client"]:
        revealed.client, revealed.client_signed = certificates, line["signed"]
        revealed.client_unread = line["unread"]
    else:
        revealed.server, revealed.server_signed = certificates, line["signed"]
        revealed.alpn, revealed.asked, revealed.server_unread = line["alpn"], line["asked"], line["unread"]


def _lines(child: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    for line in child.stdout:
        if len(line) <= LONGEST_LINE:
            record = json.loads(line)
            if isinstance(record, dict):
                yield {sys.intern(name): _once(value) for name, value in record.items()}


def _once(value: Any) -> Any:
    """A text that is there once, however many requests have it."""
    return sys.intern(value) if isinstance(value, str) else value
