"""Of many open captures those come next that a look at all of them would find."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from auditor.reading.capture_queue import CaptureQueue


@dataclass
class Open:
    """An open capture: the times of the packets that are known, and how many were handed on."""

    number: int
    times: list[int]
    at: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.times[-1], self.number

    @property
    def coming(self) -> int | None:
        return self.times[self.at] if self.at < len(self.times) else None


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), min_size=1, max_size=4), min_size=1, max_size=6
    )
)
def test_what_comes_next(captures: list[list[list[int]]]) -> None:
    """Border after border: its captures are all that have packets up to it, whatever was read and closed before."""
    agenda: Any = CaptureQueue()
    rest: dict[int, list[list[int]]] = {}
    for number, blocks in enumerate(captures):
        times = sorted(time for block in blocks for time in block)
        sizes = [len(block) for block in blocks]
        ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
        rest[number] = [times[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        one = Open(number, rest[number].pop(0))
        agenda.add(one)
        agenda.note(one)
    handed: list[tuple[int, int]] = []
    while agenda:
        border = min(one.key for one in agenda)
        assert agenda.border == border
        expected = [one for one in agenda if (one.coming, one.number) <= border]
        some = agenda.until(border)
        assert some == expected
        found = []
        for one in some:
            while one.coming is not None and (one.coming, one.number) <= border:
                found.append((one.coming, one.number))
                one.at += 1
            if one.coming is None and rest[one.number]:
                one.times, one.at = rest[one.number].pop(0), 0
            if one.coming is None:
                agenda.remove(one)
            else:
                agenda.note(one)
        handed += sorted(found)
    assert handed == sorted(handed)
    assert len(handed) == sum(len(block) for blocks in captures for block in blocks)
