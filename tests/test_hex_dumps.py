"""Hex dumps of packets: the sentence that refuses one has the command that makes a capture of it, and that command does."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import auditor
from tests import wire

FRAMES = wire.Talk().open().play([("c", bytes(range(256)) * 5)]).packets
Lines = Callable[[bytes], list[str]]  # of a frame's dump


def rows(frame: bytes, form: str, between: str, group: int, text: bool) -> list[str]:
    """Sixteen bytes a line: offset, bytes in groups, perhaps the characters."""
    lines = []
    for at in range(0, len(frame), 16):
        part = frame[at : at + 16]
        groups = between.join(part[k : k + group].hex() for k in range(0, len(part), group))
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in part) if text else ""
        lines.append(f"{form % at}{groups.ljust(50) + shown if text else groups}")
    return lines


DUMPS: dict[str, Lines] = {
    "text2pcap": lambda frame: rows(frame, "%06x ", " ", 1, False),
    "Wireshark": lambda frame: rows(frame, "%04x   ", " ", 1, False),
    "Wireshark with characters": lambda frame: rows(frame, "%04x  ", " ", 1, True),
    "with a time": lambda frame: ["10:15:14.5476", *rows(frame, "%06x ", " ", 1, False)],
    "tcpdump -xx": lambda frame: ["16:00:00.0 IP 10.0.0.1.5 > 10.0.0.2.443: S", *rows(frame, "\t0x%04x:  ", " ", 2, False)],
    "tcpdump -XX": lambda frame: ["16:00:00.0 IP 10.0.0.1.5 > 10.0.0.2.443: S", *rows(frame, "\t0x%04x:  ", " ", 2, True)],
    "tcpdump -X": lambda frame: ["16:00:00.0 IP 10.0.0.1.5 > 10.0.0.2.443: S", *rows(frame[14:], "\t0x%04x:  ", " ", 2, True)],
    "FortiGate": lambda frame: ["0.0 port1 out 10.0.0.1.5 -> 10.0.0.2.443: syn 1", *rows(frame, "0x%04x\t ", " ", 2, True)],
    "Cisco ASA": lambda frame: ["   1: 10:27:12.1 10.0.0.1.5 > 10.0.0.2.443: S", *rows(frame[14:], "0x%04x   ", " ", 2, True)],
    "Cisco IOS": lambda frame: ["   0   54    0.000000   10.0.0.1  ->  10.0.0.2", *rows(frame, "  %04X:  ", " ", 4, True)],
    "one on each line": lambda frame: [frame.hex()],
    "one on each line, with colons": lambda frame: [frame.hex(":")],
}  # fmt: skip


@pytest.mark.parametrize("name", DUMPS)
def test_the_command_converts_it(tmp_path: Path, name: str) -> None:
    """The very packets come out of the command in the sentence, with their link layer where the dump has it."""
    text = "\n".join("\n".join(DUMPS[name](frame)) + "\n" for frame in FRAMES)
    path = wire.write(tmp_path, text.replace("\n\n", "\n").encode(), "dump.txt")
    with pytest.raises(auditor.InputError, match="a hex dump of packets") as caught:
        auditor.audit(path)
    command = re.split(r"convert it with: ", str(caught.value), maxsplit=1)[1]
    made = tmp_path / "out.pcap"
    command = command.replace("FILE", str(path)).replace("OUT.pcap", str(made))
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True)
    result = auditor.audit(made)
    flow = wire.only(result.flows)
    assert (flow["client_packets"], flow["server_packets"]) == (3, 1)
    assert flow["client_bytes"] + flow["server_bytes"] == sum(map(len, FRAMES)) - (
        14 * len(FRAMES) if "-l 101" in command else 0
    )
