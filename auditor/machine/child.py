"""Compiles kernels, as a script: ``python -I child.py LIBRARIES KERNEL …`` writes their machine code to its output.

It is started isolated, from the root of the file system. So the package is imported from where this file is, whatever
else has its name; and numba from where this Python finds it or, if it does not, from ``LIBRARIES``, the folders where
the process that starts this one has found it.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path


def import_package(folder: Path) -> None:
    """Import the package that is this folder, and no other of that name."""
    spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = package
    spec.loader.exec_module(package)


def machine_code(paths: list[str]) -> bytes:
    """Compile kernels, given by module and name."""
    from auditor.machine import compiling, kernel, objects

    for path in paths:
        importlib.import_module(path.rpartition(".")[0])
    dispatchers = compiling.jitted(kernel.PIECES)
    wanted = kernel.names(kernel.KERNELS[path] for path in paths)
    made = {name: compiling.compiled(dispatchers[one.function], one.signature) for name, one in wanted.items()}
    return objects.pack(made)


def main() -> None:
    libraries, *paths = sys.argv[1:]
    sys.path += [folder for folder in libraries.split(os.pathsep) if folder not in sys.path]
    import_package(Path(__file__).resolve().parent.parent)
    packed = machine_code(paths)
    sys.stdout.buffer.write(packed)


if __name__ == "__main__":
    main()
