"""The picture in docs/design.md holds: a room imports only rooms below it, and no modules import each other in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import auditor
from tests.conftest import ROOT

PACKAGE = ROOT / "auditor"
# Rooms from the top down; those of one line do not know each other.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("auditor",),  # names only
    ("audit",),
    ("report",),
    ("policy",),
    ("requests",),
    ("reading",),
    ("recognise",),
    ("tls", "paths", "aws"),
    ("flows", "capture"),
    ("decode", "stores"),
    ("machine", "tables", "options", "prefixes", "settings"),
    ("errors", "data"),
    ("border",),
)
FLOOR = {room: -number for number, rooms in enumerate(FLOORS) for room in rooms}
# The numbers of applications import nothing, so every room may use them.
EVERYWHERE = {"auditor.recognise.numbers"}

# What the command line uses besides the public names of ``auditor``, and why.
CLI_NEEDS = {
    "auditor.audit.before": "names a type",
    "auditor.audit.compare": "asks tshark too",
    "auditor.audit.installed": "what is installed",
    "auditor.audit.judging": "gives up rights",
    "auditor.audit.live": "gives up rights",
    "auditor.audit.progress": "shows how far it is",
    "auditor.audit.start": "hashing has begun",
    "auditor.border.text": "what is shown is harmless",
    "auditor.border.urls": "tells stores from files",
    "auditor.border.words": "one is never several",
    "auditor.capture.digest": "hashes before loading",
    "auditor.capture.folders": "names a folder that is not there",
    "auditor.machine.memory": "its process is its own",
    "auditor.machine.rights": "its process is its own",
    "auditor.machine.search_path": "imports nothing foreign",
    "auditor.machine.writing": "writes an example, opens standard files",
    "auditor.paths.aws_files": "checks topology inputs",
    "auditor.paths.fetch": "asks AWS itself",
    "auditor.paths.suggest": "writes topology files",
    "auditor.paths.topology": "writes topology files",
    "auditor.policy.library": "needs no pandas",
    "auditor.policy.model": "names a type",
    "auditor.policy.pages": "needs no pandas",
    "auditor.report.answer": "needs no pandas",
    "auditor.report.asking": "needs no pandas",
    "auditor.report.causes": "needs no pandas",
    "auditor.report.database": "names a type",
    "auditor.report.flow_ids": "shows flows short",
    "auditor.report.history": "needs no pandas",
    "auditor.report.overview": "needs no pandas",
    "auditor.report.plain": "says what findings are about",
    "auditor.report.problems": "needs no pandas",
    "auditor.report.fetched": "removes what was fetched",
    "auditor.report.proof": "needs no pandas",
    "auditor.report.results": "needs no pandas",
    "auditor.report.seals.sealed": "the namespace of signatures",
    "auditor.report.verify": "needs no manifest",
    "auditor.report.who": "needs no pandas",
    "auditor.requests.decrypt": "names a type",
}
# Run by processes of their own, which are started by these names: nothing imports them.
PROGRAMS = {
    "auditor.machine.child",
    "auditor.requests.worker",
    "auditor.capture.raw_socket",
    "auditor.stores.server",
}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imported(module: str) -> Iterator[str]:
    """The modules of ours that ``module`` imports, lazily and for types too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            base = node.module or ""
            for name in node.names:
                one = f"{base}.{name.name}"
                target = one if one in MODULES else base
                if target in MODULES:
                    yield target
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        elif isinstance(node, ast.Constant) and node.value in MODULES and node.value not in {"auditor", *PROGRAMS}:
            yield str(node.value)  # by its name, as ``import_module`` takes it


def test_rooms_import_only_what_is_below() -> None:
    """Each import, lazy ones too, leads to the same room or to one on a lower floor."""
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        for other in imported(module)
        if other not in EVERYWHERE
        and room_of(other) != room_of(module)
        and FLOOR[room_of(other)] >= FLOOR[room_of(module)]
    ]
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_no_circles() -> None:
    """No modules import each other in a circle, however long, lazily or not."""
    edges = {module: sorted({other for other in imported(module) if other != module}) for module in MODULES}
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in edges[module]:
                walk(other, (*way, module))
            done.add(module)

    for module in edges:
        walk(module, ())


def test_programs_are_not_imported() -> None:
    """What runs in a process of its own is imported by nothing of this one."""
    assert not [module for module in MODULES for other in imported(module) if other in PROGRAMS]


def test_what_may_be_imported_everywhere_imports_nothing() -> None:
    """The exemption from the floors is only for modules that import nothing of ours."""
    assert not [other for module in EVERYWHERE for other in imported(module)]


def test_root_is_small() -> None:
    """The package's root holds names, and what all rooms share: everything else has a room."""
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == {"__init__", "__main__", "errors", "options", "prefixes", "settings"}
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    kinds = {type(node).__name__ for node in ast.parse(text).body}
    assert kinds <= {"Expr", "ImportFrom", "Assign"}


def test_the_command_line_uses_the_public_names() -> None:
    """The command line knows the names of ``auditor``, errors and options; each further module is listed with a reason."""
    used = {other for module in MODULES if room_of(module) == "cli" for other in imported(module)}
    assert {other for other in used if room_of(other) not in ("cli", "auditor", "errors", "options")} == set(CLI_NEEDS)
    names = {
        name.name
        for path in (PACKAGE / "cli").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "auditor"
        for name in node.names
    }
    assert names
    assert names <= set(auditor.__all__)


def test_each_class_has_a_name_of_its_own() -> None:
    """No two classes of the package share a name, so that a name says which thing is meant."""
    names = [
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert sorted(names) == sorted(set(names))
