"""How kernels say what they take, how their machine code is named, compiled and called."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import numpy as np
import pytest

from auditor.decode.packet import PACKET
from auditor.errors import AuditError
from auditor.flows.room import new_state
from auditor.flows.state import FLOW, Memory, State, packets
from auditor.flows.text import write_addresses
from auditor.machine import compiling, isolated, kernel, objects
from auditor.machine.compiling import numba_type
from auditor.machine.naming import Namer
from auditor.machine.signature import BYTES, NUMBERS, Layout, append_words
from tests.conftest import ROOT, SAMPLES
from tests.test_imports import MODULES, imported

COMPILED = pytest.mark.skipif(kernel.PLAIN, reason="plain Python has no machine code")
HIGH, LOW = np.zeros(2, np.uint64), np.array([0xFFFF_0102_0304, 0xFFFF_0506_0708], np.uint64)
NONE = np.zeros(1, np.uint8)


@COMPILED
def test_kernels_check_what_they_are_given() -> None:
    """Arguments of another kind are a TypeError, a place outside of an array an IndexError; neither is a crash."""
    data, offsets, lengths = np.zeros(30, np.uint8), np.zeros(3, np.int64), np.zeros(0, np.int64)
    assert write_addresses(HIGH, LOW, NONE, lengths, data, offsets) is None
    assert data[: offsets[2]].tobytes() == b"1.2.3.45.6.7.8"
    wrongs: list[Any] = [HIGH.astype(np.uint8), HIGH.astype(np.float64), HIGH.astype(np.int64), HIGH.reshape(1, 2), 5]
    for wrong in wrongs:
        with pytest.raises(TypeError, match="write_addresses"):
            write_addresses(wrong, LOW, NONE, lengths, data, offsets)
    with pytest.raises(TypeError, match="not of uint64"):
        write_addresses(np.zeros(4, np.uint64)[::2], LOW, NONE, lengths, data, offsets)
    with pytest.raises(TypeError, match="takes 6 arguments, not 5"):
        write_addresses(HIGH, LOW, NONE, lengths, data)  # type: ignore[call-arg]
    with pytest.raises(IndexError):
        write_addresses(HIGH, LOW, NONE, lengths, data[:5], np.zeros(3, np.int64))


@pytest.mark.parametrize(
    ("parameter", "wrong"),
    [
        (int, 1.5),
        (int, "1"),
        (BYTES, b"bytes"),
        (Layout(FLOW), packets(1)),
        (Memory, new_state()),
        (State, tuple(new_state())),
        (State, new_state()._replace(buckets=np.zeros(8, np.int64))),
    ],
)
def test_what_does_not_fit_is_refused(parameter: Any, wrong: Any) -> None:
    """A whole number is not a fraction, a record not another one, a named tuple not another or a bare one."""
    with pytest.raises(TypeError):
        append_words(parameter, wrong, [])


def test_new_state_is_as_described() -> None:
    """The arrays of a state are those that its description says, in numba's eyes too."""
    import numba

    typeof: Any = numba.typeof
    state = new_state()
    append_words(State, state, [])
    assert typeof(state) == numba_type(State)
    assert typeof(packets(1)) == numba_type(Layout(PACKET))
    assert typeof(state.memory.counters) == numba_type(NUMBERS)
    assert typeof(0) == numba_type(int)


def _kernels_in_sources() -> Iterator[tuple[str, int]]:
    """Every function that has the decorator ``kernel``, and how many arguments it takes."""
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                calls = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
                if any(isinstance(call, ast.Name) and call.id == "kernel" for call in calls):
                    yield f"{module}.{node.name}", len(node.args.args)


for path, _ in _kernels_in_sources():
    importlib.import_module(path.rpartition(".")[0])  # registers its kernels, also those that only some inputs need


@COMPILED
def test_every_kernel_is_registered() -> None:
    """All kernels there are register themselves, each with as many parameters as its function has."""
    known = {path: len(one.signature) for path, one in kernel.KERNELS.items()}
    assert known == dict(_kernels_in_sources())
    assert sum(one.largest for one in kernel.KERNELS.values()) == 1


@COMPILED
def test_types_are_lax_only_where_kernels_are() -> None:
    """The type errors that mypy lets pass for what numba infers, it lets pass in modules with kernels alone."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["overrides"]
    lax = next(one["module"] for one in settings if "no-any-return" in one.get("disable_error_code", []))
    assert sorted(lax) == sorted({piece.__module__ for piece in kernel.PIECES})


def test_numba_is_imported_only_to_compile(tmp_path: Path) -> None:
    """Once the kernels are compiled, an audit needs no numba."""
    kernel.prepare()
    capture = SAMPLES / "office.pcapng"
    code = f"import auditor, sys; auditor.audit({str(capture)!r}, out={str(tmp_path)!r}); print('numba' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


# --- names


def _globals_of(piece: FunctionType) -> dict[str, Any]:
    """The global variables that the body of a piece names, read from its source."""
    node = ast.parse(inspect.getsource(piece)).body[0]
    assert isinstance(node, ast.FunctionDef)
    names = {one.id for line in node.body for one in ast.walk(line) if isinstance(one, ast.Name)}
    local = piece.__code__.co_varnames
    return {name: piece.__globals__[name] for name in names if name in piece.__globals__ and name not in local}


def _changed(value: Any) -> Any:
    """Another value of the same kind; None for what is no constant."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return (*value, 0)
    if isinstance(value, np.ndarray):
        other = bytearray(value.tobytes())
        other[-1] ^= 1
        return np.frombuffer(bytes(other), value.dtype).reshape(value.shape)
    return None


@COMPILED
def test_every_constant_decides_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever constant compiled code names, in whichever module it stands: another value gives another name."""
    namer = Namer(kernel.PIECES)
    parts = sorted(((one, namer.reached(one.function)) for one in kernel.KERNELS.values()), key=lambda of: len(of[1]))
    before = {one: name for name, one in kernel.names(kernel.KERNELS.values()).items()}
    tried = 0
    for piece in kernel.PIECES:
        for name, value in _globals_of(piece).items():
            if (other := _changed(value)) is not None:
                user = next(one for one, pieces in parts if piece in pieces)
                with monkeypatch.context() as patch:
                    patch.setitem(piece.__globals__, name, other)
                    assert list(kernel.names([user])) != [before[user]], (piece.__qualname__, name)
                tried += 1
    assert tried > 200


@COMPILED
def test_compiled_code_calls_only_what_decides_its_name() -> None:
    """Every function of ours that a kernel calls, directly or not, is a piece, and its code is in the kernel's name."""
    namer = Namer(kernel.PIECES)
    modules = set()
    for one in kernel.KERNELS.values():
        reached = namer.reached(one.function)
        modules |= {piece.__module__ for piece in reached}
        for piece in reached:
            called = [value for value in _globals_of(piece).values() if isinstance(value, FunctionType)]
            ours = [function for function in called if function.__module__ in MODULES]
            assert set(ours) <= {*reached, *compiling.SUBSTITUTES}, piece.__qualname__
    # No module that has pieces, as far as kernels' modules import it, is passed over.
    waiting, closure = [one.function.__module__ for one in kernel.KERNELS.values()], set[str]()
    while waiting:
        module = waiting.pop()
        if module not in closure:
            closure.add(module)
            waiting += imported(module)
    assert modules == closure & {piece.__module__ for piece in kernel.PIECES}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, to be changed."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "auditor", root / "auditor", ignore=shutil.ignore_patterns("__pycache__"))
    return root


PRINT_NAMES = """
import sys
sys.path.insert(0, sys.argv[1])
import auditor.reading.following
from auditor.machine import kernel
assert kernel.__file__.startswith(sys.argv[1])
print(sorted(kernel.names(kernel.KERNELS.values())))
"""


def _names_of(tree: Path, file: str = "", old: str = "", new: str = "") -> str:
    """The names that the copy gives, with ``old`` in ``file`` changed to ``new``."""
    path = tree / "auditor" / file
    before = path.read_text(encoding="utf-8") if file else ""
    assert before.count(old) == 1 or not file
    try:
        if file:
            path.write_text(before.replace(old, new), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
        command = [sys.executable, "-B", "-c", PRINT_NAMES, str(tree)]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    finally:
        if file:
            path.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("flows/text.py", '"""Addresses as text, many at once."""\n', '"""More\nlines."""\n# and a comment\n'),
        ("flows/text.py", '"""Write addresses as text', '"""Say addresses as text'),
        ("flows/text.py", "    taken = 0\n", "\n    # why\n    taken = 0  # because\n"),
        ("decode/layers.py", 'VXLAN: "vxlan"', 'VXLAN: "vx-lan"'),  # of no use to compiled code
    ],
)
def test_words_do_not_compile_anew(tree: Path, file: str, old: str, new: str) -> None:
    """A docstring, a comment, another line or what no kernel uses leaves the names of the machine code as they are."""
    assert _names_of(tree, file, old, new) == _names_of(tree)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "decode/packet.py",
            "ICMP, TCP, UDP, ESP, ICMP6 = 1, 6, 17, 50, 58",
            "ICMP, TCP, UDP, ESP, ICMP6 = 1, 6, 18, 50, 58",
        ),
        ("flows/text.py", "data[out + 1] = 46", "data[out + 1] = 47"),
        ("decode/packet.py", "RECENT = 4096", "RECENT = 8192"),
        ("flows/exchange.py", '("before", "i4"),', '("before", "i8"),'),
        ("machine/compiling.py", "nogil=True", "nogil=False"),
        (
            "machine/kernel.py",
            "return _piece(function, boundscheck=False, forceinline=True)",
            "return _piece(function)",
        ),
    ],
)
def test_code_compiles_anew(tree: Path, file: str, old: str, new: str) -> None:
    """A constant or a record of another module, a line of code, how it is compiled: each gives another name."""
    assert _names_of(tree, file, old, new) != _names_of(tree)


# --- compiling

COMPILE_ONE = """
import sys
import numpy as np
import auditor.flows.text as text
from auditor.machine import kernel
lacking = kernel.load()
kernel.compile_kernels(lacking)
print(len(lacking), "numba" in sys.modules)
try:
    low = np.array([0xFFFF_0102_0304], np.uint64)
    nothing, lengths = np.zeros(1, np.uint8), np.zeros(0, np.int64)
    text.write_addresses(np.zeros(1, np.uint64), low, nothing, lengths, np.zeros(5, np.uint8), np.zeros(2, np.int64))
except IndexError:
    print("checked")
"""
HOSTILE = "numba numpy llvmlite ipaddress json auditor sitecustomize usercustomize _bootlocale"


@pytest.mark.parametrize("kept", [True, False])
def test_nothing_of_the_working_directory_compiles(tmp_path: Path, kept: bool) -> None:
    """Modules, a package ``auditor`` and numba's settings beside the evidence have no part in the machine code."""
    mark = tmp_path / "mark"
    for name in HOSTILE.split():
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    (tmp_path / "auditor").mkdir()
    (tmp_path / "auditor" / "__init__.py").write_text(f"open({str(mark)!r}, 'a').write('package')\n")
    (tmp_path / ".numba_config.yaml").write_text("boundscheck: 0\n")
    with tempfile.TemporaryDirectory(dir=Path.home() if kept else None, prefix="auditor-test-") as cache:
        environment = {**os.environ, "AUDITOR_CACHE_DIR": cache, "NUMBA_BOUNDSCHECK": "0", "NUMBA_DISABLE_JIT": "0"}
        command = [sys.executable, "-P", "-c", COMPILE_ONE]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        files = [file for file in Path(cache).rglob("*") if file.is_file()]
    assert done.stdout.split() == [*done.stdout.split()[:1], "False", "checked"]
    assert bool(files) == kept
    assert not mark.exists()


def test_a_process_that_cannot_compile_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, or it ends without machine code, the error says so."""
    lacking = {"name": kernel.Kernel(cast("FunctionType", _changed), (), largest=False)}
    with pytest.raises(AuditError, match=r"cannot be compiled: .*ModuleNotFoundError"):
        kernel.compile_kernels(lacking)
    killed = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    monkeypatch.setattr(isolated, "module", lambda *_: killed)
    with pytest.raises(AuditError, match="cannot be compiled: signal 9 ended"):
        kernel.compile_kernels(lacking)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(AuditError, match="cannot be compiled: /nowhere/python"):
        kernel.compile_kernels(lacking)


def test_what_is_said_before_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence where it takes time, with the reason where it will do so again; none where machine code is kept."""
    monkeypatch.setattr(kernel, "load", lambda: {"name": None})
    monkeypatch.setattr(objects, "why_not_kept", lambda: None)
    assert "once after each update" in str(kernel.notice())
    monkeypatch.setattr(objects, "why_not_kept", lambda: "/x can be written by other users")
    assert "not kept: /x can be written by other users" in str(kernel.notice())
    monkeypatch.setattr(kernel, "load", dict)
    assert kernel.notice() is None
