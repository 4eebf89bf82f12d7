"""Captures cut into pieces, and what an audit says of packets whichever file they lie in."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.options import Options
from tests import wire

SAMPLES = Path(__file__).parent.parent / "captures"
NAMES = ["office", "requests", "ssl3", "tls1", "tls1.2", "tls1.3", "tls1.3-post-quantum"]  # of samples that are cut
SITE = Options(topology=SAMPLES / "site.toml")
ENHANCED_PACKET = 6  # block type of pcapng, section 4.3
FRAME = re.compile(r"frames? (\d+)(?: of (\S+?))?( to (\d+)(?: of (\S+?))?)?(?=[\s,;:)\]]|$)")
OF_FILES = ("capture", "client_hello_capture", "server_hello_capture")


@dataclass
class Pieces:
    """Files that hold the packets of one, and which frames of it each has."""

    paths: list[Path] = field(default_factory=list)
    frames: dict[str, list[int]] = field(default_factory=dict)

    def add(self, path: Path, data: bytes, frames: Sequence[int]) -> None:
        """Write a file with some of the packets."""
        path.write_bytes(data)
        self.paths.append(path)
        self.frames[str(path)] = list(frames)

    def original(self, capture: Any, frame: Any) -> Any:
        """The frame of the whole capture that a frame of a piece is."""
        if capture is None and len(self.frames) == 1:  # texts name no capture where there is one alone
            (capture,) = self.frames
        if frame is None or capture not in self.frames:
            return frame
        return self.frames[capture][int(frame) - 1]


def cut_pcapng(data: bytes, folder: Path, piece_of: Sequence[int], name: str = "piece") -> Pieces:
    """A pcapng cut: packet n goes to piece ``piece_of[n]``; all other blocks are in each piece."""
    blocks, pieces = list(wire.blocks_of(data)), Pieces()
    numbers = [at for at, (kind, _) in enumerate(blocks) if kind == ENHANCED_PACKET]
    for piece in sorted(set(piece_of)):
        mine = {at for at, of in zip(numbers, piece_of, strict=True) if of == piece}
        kept = (block for at, (kind, block) in enumerate(blocks) if kind != ENHANCED_PACKET or at in mine)
        frames = [k + 1 for k, of in enumerate(piece_of) if of == piece]
        pieces.add(folder / f"{name}-{piece}.pcapng", b"".join(kept), frames)
    return pieces


def records_of(data: bytes) -> list[bytes]:
    """The records of a little-endian pcap."""
    at, records = 24, []
    while at < len(data):
        size = 16 + int(struct.unpack_from("<I", data, at + 8)[0])
        records.append(data[at : at + size])
        at += size
    return records


def cut_pcap(data: bytes, folder: Path, piece_of: Sequence[int], name: str = "piece") -> Pieces:
    """A pcap cut in the same way."""
    records, pieces = records_of(data), Pieces()
    for piece in sorted(set(piece_of)):
        frames = [k + 1 for k, of in enumerate(piece_of) if of == piece]
        whole = data[:24] + b"".join(records[k - 1] for k in frames)
        pieces.add(folder / f"{name}.pcap{piece}", whole, frames)
    return pieces


def _text(text: str, pieces: Pieces) -> str:
    """A text with frames as those of the whole capture."""

    def one(match: re.Match[str]) -> str:
        words = f"frame {pieces.original(match[2], match[1])}"
        return words + (f" to {pieces.original(match[5], match[4])}" if match[3] else "")

    return FRAME.sub(one, text)


def said(result: Any, pieces: Pieces | None = None) -> dict[str, list[dict[str, Any]]]:
    """What an audit says of packets: all tables but that of captures, with frames as those of the whole capture."""
    pieces = pieces or Pieces()
    tables = {}
    for table in result.tables:
        if table in ("captures", "witnesses"):
            continue
        rows = []
        for row in result.arrow(table).to_pylist():
            for name in [one for one in row if one == "frame" or one.endswith("_frame")]:
                capture = row["capture" if name == "frame" else name.replace("_frame", "_capture")]
                row[name] = pieces.original(capture, row[name])
            row.pop("credential_hash", None)  # whose salt is of one audit alone
            for name in ("evidence", "sample_frames") if table == "findings" else ():
                row.pop(name)
            rows.append(
                {
                    name: _text(value, pieces) if isinstance(value, str) else value
                    for name, value in row.items()
                    if name not in OF_FILES
                }
            )
        tables[table] = rows
    return tables
