"""What a terminal showed: a recorded session has what a pager wrote over its own prompts, and colours."""

import re

MOVES = re.compile(r"\x08+|\r|\x1b\[[\d;?]*[A-Za-z]|[^\x08\r\x1b]+|\x1b")


def shown(text: str) -> str:
    """A text with each line as it stood on the screen in the end."""
    if re.search(r"[\x08\x1b]|\r(?=[^\r\n])", text) is None:
        return text
    return "\n".join(_line(line.rstrip("\r")) for line in text.split("\n"))


def _line(line: str) -> str:
    """A line after backspaces, carriage returns and the control sequences of ECMA-48 that move within it."""
    if re.search(r"[\x08\x1b\r]", line) is None:
        return line
    cells: list[str] = []
    at = 0
    for step in MOVES.findall(line):
        if step[0] == "\x08":
            at = max(at - len(step), 0)
        elif step == "\r":
            at = 0
        elif step[0] == "\x1b":
            count = int(number[0]) if (number := re.search(r"\d{1,4}", step)) else 1
            if step[-1] == "D":  # CUB
                at = max(at - count, 0)
            elif step[-1] == "C":  # CUF
                at = min(at + count, len(cells))
            elif step[-1] == "K" and step in ("\x1b[K", "\x1b[0K", "\x1b[2K"):  # EL
                del cells[0 if step == "\x1b[2K" else at :]
                cells += " " * (at - len(cells))
        else:
            cells[at : at + len(step)] = step
            at += len(step)
    return "".join(cells)
