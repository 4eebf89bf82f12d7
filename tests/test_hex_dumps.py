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


def words_of(data: bytes, form: str, width: int, text: bool = False) -> list[str]:
    """A file's dump in ``width`` bytes a line, as hexdump and od write it."""
    lines = []
    for at in range(0, len(data), width):
        row = data[at : at + width]
        shown = "  |" + "".join(chr(b) if 32 <= b < 127 else "." for b in row) + "|" if text else ""
        halves = "  ".join(row[k : k + 8].hex(" ") for k in range(0, len(row), 8)) if text else row.hex(" ")
        lines.append(form % at + halves + shown)
    return lines


FILE_DUMPS: dict[str, Lines] = {
    "xxd": lambda data: rows(data, "%08x: ", " ", 2, True),
    "xxd of 32 bytes": lambda data: [f"{at:08x}: {data[at : at + 32].hex(' ', -2)}" for at in range(0, len(data), 32)],
    "hexdump -C": lambda data: words_of(data, "%08x  ", 16, text=True),
    "od -t x1": lambda data: words_of(data, "%07o ", 16),
    "od -Ax -t x1": lambda data: words_of(data, "%06x ", 16),
    "xxd -p": lambda data: [data[at : at + 30].hex() for at in range(0, len(data), 30)],
    "xxd -i": lambda data: ["unsigned char x_pcap[] = {", ", ".join(f"0x{b:02x}" for b in data), "};"],
}


@pytest.mark.parametrize("name", FILE_DUMPS)
def test_the_command_makes_the_file(tmp_path: Path, name: str) -> None:
    """A dump of a whole file: the command in the sentence makes the very file of it."""
    data = wire.pcap(FRAMES)
    path = wire.write(tmp_path, "\n".join([*FILE_DUMPS[name](data), ""]).encode(), "dump.txt")
    with pytest.raises(auditor.InputError) as caught:
        auditor.audit(path)
    command = str(caught.value).partition("make the file of it with: ")[2]
    made = tmp_path / "made"
    command = command.replace("FILE", str(path)).replace("OUT", str(made))
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True)
    assert made.read_bytes() == data


@pytest.mark.parametrize("before", ["    1   0.000000     10.0.0.1 → 192.0.2.10   TCP 54 40000 → 443 [SYN]", ""])
@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16"])
def test_dumps_of_tshark(tmp_path: Path, before: str, code: str) -> None:
    """tshark's dump with its list of packets, and as PowerShell's > writes it: the command leaves out what is no dump."""
    text = "\n".join("\n".join([before, "", *rows(frame, "%04x  ", " ", 1, True), ""]) for frame in FRAMES)
    path = wire.write(tmp_path, text.encode(code), "dump.txt")
    with pytest.raises(auditor.InputError, match="a hex dump of packets") as caught:
        auditor.audit(path)
    made = tmp_path / "out.pcap"
    command = (
        str(caught.value).partition("convert it with: ")[2].replace("FILE", str(path)).replace("OUT.pcap", str(made))
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True)
    flow = wire.only(auditor.audit(made).flows)
    assert (flow["client_packets"], flow["server_packets"]) == (3, 1)
    assert flow["client_bytes"] + flow["server_bytes"] == sum(map(len, FRAMES))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No.     Time           Source                Destination\n", "Wireshark's list of packets"),
        ("interface: eth0 (10.0.0.0/255.255.255.0)\nT 10.0.0.1:4 -> 10.0.0.2:443\n", "ngrep's text"),
        (
            "17:27:44.507 UTC Apr 17 2009 : IPv4\n\n0501D4A0:      0004DDC6 1F120011   ..]F\n",
            "monitor capture NAME export",
        ),
        ("0 time=0.0 num=1 direction=rx src-mac=02:00\n", "MikroTik's sniffer"),
        ("== 2023-11-14 22:13:20.100 +0000 ==\nPacket received at fastpath stage\n", "Palo Alto"),
        ("/* Frame (54 bytes) */\nstatic const unsigned char pkt1[54] = {\n0x02, 0x00\n};\n", "packets as C arrays"),
        ("1  0.00000  10.0.0.1 -> 192.0.2.10 TCP D=443 S=40000 Syn Seq=1\n", "snoop's text"),
        ("IP 10.0.0.1.40000 > 192.0.2.10.443: Flags [S], seq 1000, win 8192\n", "tcpdump's text"),
        ("*Packet number: 1*\nHeader Values:\n Bytes captured: 54\n", "SonicWall"),
        ("Ether / IP / TCP 10.0.0.1:40000 > 192.0.2.10:https S\n", "scapy's text"),
        ("Packet: 1\n" + 4 * "02 00 00 00 00 02 02 00 00 00 00 01 08 00 45 00\n", "do not say where they stand"),
        ('{"timestamp":"2026-11-27T16:00:00","event_type":"tls"}\n', "a Suricata log"),
        ('{"ts":1.0,"id.orig_h":"10.0.0.1"}\n', "a Zeek log"),
        ('{"Records":[{"eventVersion":"1.08"}]}', "CloudTrail events"),
        ("2 123456789010 eni-1235b8ca 10.0.0.1 10.0.0.2 1 22 6 20 4249 1 2 ACCEPT OK\n", "a VPC flow log"),
        ("[InternetShortcut]\r\nURL=https://example.com/a.pcap\r\n", "plain text"),
        ("RSA 0011223344556677 " + "11" * 48 + "\n", "a TLS key log"),
        ("SERVER_HANDSHAKE_TRAFFIC_SECRET " + "00" * 32 + " " + "11" * 32 + "\n", "a TLS key log"),
        ("10.0.0.1\n192.0.2.10\n10.0.0.1\n10.0.0.1\n192.0.2.10\n", "plain text"),
    ],
)
def test_texts_about_packets(tmp_path: Path, text: str, words: str) -> None:
    """Lists of packets and notes about them are named, and never taken for packets."""
    with pytest.raises(auditor.InputError) as caught:
        auditor.audit(wire.write(tmp_path, text.encode(), "list.txt"))
    assert words in str(caught.value)
