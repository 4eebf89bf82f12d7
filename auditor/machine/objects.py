"""Where the kernels' machine code comes from, is kept, and how it is called.

numba compiles a kernel to an object file; llvmlite, the part of numba that holds LLVM, can load such a file by itself
in a few milliseconds, while importing numba and loading its own cache takes half a second. So the objects of all
kernels are kept in one file, and the kernels are called through ctypes, by numba's calling convention: a place for
the result, a place for an exception, then the arguments, an array being seven words (owner, parent, number of items,
size of one, address, shape, strides).

The file's name is a digest of everything that decides the machine code: the sources of the kernels, numba, LLVM,
Python and the processor.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PACKAGE = Path(__file__).parent.parent
# Files that decide the machine code without a kernel in them: layouts of arrays, and this.
LAYOUTS = ("objects.py", "numbers.py", "kernel.py", "layers.py", "state.py", "packet.py")


class Object(NamedTuple):
    """A compiled kernel: the object file that holds it, its name in there, and how many numbers it returns."""

    code: bytes
    symbol: str
    results: int


def _numba_version_file() -> bytes:
    """The file of numba's that tells its version; empty where there is none."""
    spec = importlib.util.find_spec("numba")
    if spec is None or spec.origin is None:
        return b""
    try:
        return Path(spec.origin).with_name("_version.py").read_bytes()
    except OSError:
        return b""


def numba_version() -> str:
    """The version of numba, without importing it; ``importlib.metadata`` would take a hundredth of a second."""
    told = re.search(rb'"version": "([^"]+)"', _numba_version_file())
    if told is None:
        from importlib.metadata import version

        return version("numba")
    return told[1].decode()


def _source_digest() -> str:
    import llvmlite.binding as llvm

    digest = hashlib.sha256(f"{sys.version} {llvm.llvm_version_info}".encode())
    digest.update(f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())
    digest.update(_numba_version_file())
    for file in sorted(PACKAGE.rglob("*.py")):
        source = file.read_bytes()
        if b"auditor.machine.kernel import" in source or file.name in LAYOUTS:
            digest.update(file.name.encode() + b"\0" + source)
    return digest.hexdigest()[:16]


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def cache_folder() -> Path:
    """The user's cache directory, or a private temporary one where the home is not writable."""
    named = os.environ.get("AUDITOR_CACHE_DIR")
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    for root in (Path(named or base).expanduser(), Path(tempfile.gettempdir()) / f"traffic-auditor-{_user_id()}"):
        try:
            directory = root / "traffic-auditor"
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (OSError, RuntimeError):
            continue
        # Machine code is executed: a directory that somebody else owns must not be believed.
        if os.access(directory, os.W_OK) and directory.stat().st_uid == _user_id():
            return directory
    return Path(tempfile.mkdtemp(prefix="traffic-auditor-"))


def cache_file() -> Path:
    """The file that holds the machine code of this state of the sources on this machine."""
    return cache_folder() / f"kernels-{_source_digest()}"


def load(file: Path | None = None) -> dict[str, Object]:
    """The compiled kernels of ``file`` (by default the cache) by name; empty where there are none that are whole."""
    try:
        header, _, body = (file or cache_file()).read_bytes().partition(b"\n")
        told = json.loads(header)
        if hashlib.sha256(body).hexdigest() != told["sha256"]:
            return {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {
        name: Object(body[first:last], symbol, results)
        for name, (symbol, results, first, last) in told["kernels"].items()
    }


def store(objects: dict[str, Object], file: Path | None = None) -> None:
    """Keep compiled kernels for ``load``. A file that cannot be written only costs time at the next start."""
    body, told = b"", {}
    for name, made in sorted(objects.items()):
        told[name] = (made.symbol, made.results, len(body), len(body) + len(made.code))
        body += made.code
    header = json.dumps({"sha256": hashlib.sha256(body).hexdigest(), "kernels": told}).encode()
    try:
        file = file or cache_file()
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as new:
            new.write(header + b"\n" + body)
        Path(new.name).replace(file)
    except OSError:
        pass


def compile_kernel(source: Any, arguments: tuple[Any, ...]) -> Object:
    """Compile a function that numba's ``njit`` took, for the types of ``arguments``."""
    import numba

    typeof: Any = numba.typeof
    source.compile(tuple(typeof(argument) for argument in arguments))
    (compiled,) = source.overloads.values()
    returned = compiled.signature.return_type
    results = len(returned) if isinstance(returned, numba.types.UniTuple) else int(returned != numba.types.none)
    code = compiled.library._get_compiled_object()  # noqa: SLF001 - what numba's own cache keeps
    return Object(code, compiled.fndesc.llvm_func_name, results)


_LOADED: list[Any] = []  # LLVM's engines own the machine code: they live as long as the process


def _address(made: Object) -> int:
    """Load an object file into memory; where its function begins."""
    import llvmlite.binding as llvm

    if not _LOADED:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(made.code))
    engine.finalize_object()
    _LOADED.append(engine)
    return int(engine.get_function_address(made.symbol))


def _words(argument: Any, words: list[int], kinds: list[tuple[int, int]]) -> None:
    """Append the words that ``argument`` is passed as, and of each array (bytes an item, dimensions)."""
    if isinstance(argument, tuple):
        for item in argument:
            _words(item, words, kinds)
    elif isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        kinds.append((argument.itemsize, argument.ndim))
        words += (0, 0, argument.size, argument.itemsize, argument.ctypes.data, *argument.shape, *argument.strides)
    else:
        words.append(int(argument))


class Native:
    """A kernel as Python calls it: compiled or loaded at its first call, bound to the types of that call."""

    def __init__(self, name: str, made: Object | None, source: Any) -> None:
        self.name = name
        self.made = made
        self._source = source
        self._function: Any = None
        self._kinds: list[tuple[int, int]] = []
        self._last: list[tuple[Any, list[int], list[tuple[int, int]]]] = []  # tuples of arrays of the last call

    def _bind(self, arguments: tuple[Any, ...], words: list[int], kinds: list[tuple[int, int]]) -> None:
        if self.made is None:
            self.made = compile_kernel(self._source, arguments)
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * (2 + len(words)))  # releases the GIL
        self._function = prototype(_address(self.made))
        self._kinds = kinds

    def _words_of_tuple(self, argument: Any, words: list[int], kinds: list[tuple[int, int]]) -> None:
        """As ``_words``; a tuple of arrays is mostly the one of the call before."""
        for known, its_words, its_kinds in self._last:
            if known is argument:
                words += its_words
                kinds += its_kinds
                return
        at, kind_at = len(words), len(kinds)
        _words(argument, words, kinds)
        self._last = [(argument, words[at:], kinds[kind_at:]), *self._last[:1]]

    def __call__(self, *arguments: Any) -> Any:
        """Call it. Raises IndexError where a bounds check failed, TypeError for arrays of another kind."""
        words: list[int] = []
        kinds: list[tuple[int, int]] = []
        for argument in arguments:
            if isinstance(argument, tuple):
                self._words_of_tuple(argument, words, kinds)
            else:
                _words(argument, words, kinds)
        if self._function is None:
            self._bind(arguments, words, kinds)
        if kinds != self._kinds:
            raise TypeError(f"{self.name} takes arrays of {self._kinds} (bytes an item, dimensions), not {kinds}")
        assert self.made is not None
        results = (ctypes.c_int64 * max(1, self.made.results))()
        raised = ctypes.c_void_p()
        if self._function(ctypes.addressof(results), ctypes.addressof(raised), *words):
            raise IndexError(f"a bounds check failed in {self.name}")
        if self.made.results == 0:
            return None
        return results[0] if self.made.results == 1 else tuple(results)
