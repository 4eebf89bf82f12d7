"""Compiles kernels, in an isolated process: ``main`` writes the machine code of the kernels it is given to its output."""

import importlib
import sys
from collections.abc import Sequence

from auditor.machine import compiling, isolated, kernel, objects


def machine_code(paths: Sequence[str]) -> bytes:
    """Compile kernels, given by module and name."""
    for path in paths:
        importlib.import_module(path.rpartition(".")[0])
    dispatchers = compiling.jitted(kernel.PIECES)
    wanted = kernel.names(kernel.KERNELS[path] for path in paths)
    compiled = {name: compiling.compiled(dispatchers[one.function], one.signature) for name, one in wanted.items()}
    return objects.pack(compiled)


def main(arguments: Sequence[str]) -> None:
    """What ``isolated.module`` calls, with the number of the process that waits for this one, and kernels."""
    parent, *paths = arguments
    isolated.end_with(int(parent))
    sys.stdout.buffer.write(machine_code(paths))
