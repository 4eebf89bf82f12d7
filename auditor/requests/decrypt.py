"""Letting tshark dissect what was cut out of a capture, in a child process with limits on time and memory."""

import json
import subprocess
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
LONGEST_LINE = 1 << 18
NO_ROOM = "temporary files cannot be written"
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
) -> Dissected:
    """The requests in the wanted flows of captures that are read again; ``is_same``: whether these are what they were.

    ``stage`` is kept up to date; ``meanwhile`` is called once the child has got all, and works alone.
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
    opener.tell({"salt": salt.hex(), "clear": np.flatnonzero(np.isin(wanted.kind, (HTTP, SMTP))).tolist()})
    meanwhile()
    dissected = _run(opener.child, cut, stage)
    if cut.capped:
        dissected.notes.append("more packets have keys than are opened: the requests are not complete")
    return dissected


def _run(child: "subprocess.Popen[bytes]", cut: Cut, stage: Stage) -> Dissected:
    """What the child says of what it was given, in its time."""
    dissected = Dissected(packets=len(cut.frames))
    limit = SECONDS + SECONDS_A_MEGABYTE * cut.bytes / 1e6
    ended = threading.Timer(limit, kill, [child])
    ended.start()
    done = False
    try:
        for line in _lines(child):
            if "done" in line:
                done, dissected.notes = True, line["notes"]
                dissected.opened = {(flow, is_client) for flow, is_client in line["opened"]}
            elif "given" in line:
                stage.given = line["given"]
            elif "revealed" in line:
                _note_revealed(dissected.revealed.setdefault(line["revealed"], Revealed()), line)
            elif "failed" in line:
                dissected.failure = f"tshark could not dissect it ({line['failed']})"
            else:
                packet = line.pop("packet") - 1
                line["frame"], line["time"] = cut.frames[packet], cut.times[packet]
                dissected.requests.append(line)
                stage.found += 1
    finally:
        in_time = ended.is_alive()
        ended.cancel()
    if not done and dissected.failure is None:
        took = f"it took longer than {limit:.0f} s" if not in_time else "it ended before its time: memory, or killed"
        dissected.failure = f"tshark did not come to an end ({took})"
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
                yield record
