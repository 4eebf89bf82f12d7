"""The project's own rules: what it depends on, what its tests may leave out, what its linter ignores."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests import skips
from tests.conftest import ROOT

pytest_plugins = ["pytester"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PARTS = {"pydantic_core": "pydantic", "botocore": "boto3"}  # come with the packages that they are parts of
FOR_NOTEBOOKS = {"jupyterlab", "nbclient"}  # open them, run them


def imported() -> set[str]:
    """The packages of others that the auditor imports, or takes files from."""
    modules = set()
    for path in sorted((ROOT / "auditor").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module or "")
            elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "files"}:
                modules |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    names = {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"auditor", ""}
    return {PARTS.get(name, name) for name in names}


def required(requirements: list[str]) -> set[str]:
    names = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}
    return {name.replace("-", "_") for name in names}


def test_dependencies_are_those_that_are_imported() -> None:
    """Every dependency and extra is imported somewhere in the package, and every import of others is declared."""
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    of_notebooks = required(extras["notebook"])
    assert of_notebooks == FOR_NOTEBOOKS
    optional = [one for name, extra in extras.items() if name != "notebook" for one in extra]
    declared = required([*PROJECT["project"]["dependencies"], *optional])
    assert imported() == declared


def test_extras_that_are_recommended_exist() -> None:
    """Messages and pages name only extras that there are."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "auditor").rglob("*.py")]
    texts += [(ROOT / "README.md").read_text(encoding="utf-8")]
    named = {name for text in texts for name in re.findall(r"traffic-auditor\[([\w,-]+)\]|\binstall\(['\"](\w+)", text)}
    named = {one for pair in named for one in pair if one}
    assert named
    assert named <= set(PROJECT["project"]["optional-dependencies"])


def hits(*codes: str, paths: tuple[str, ...] = (".",)) -> dict[str, set[str]]:
    """For each code of the linter the files that it would complain of, were nothing ignored."""
    settings = [f"lint.select={json.dumps(codes)}", "lint.ignore=[]", "lint.per-file-ignores={}"]
    command = [str(Path(sys.executable).parent / "ruff"), "check", "--exit-zero", "--output-format", "json"]
    command += [part for setting in settings for part in ("--config", setting)]
    violations = json.loads(subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, check=True).stdout)
    files_of: dict[str, set[str]] = {}
    for one in violations:
        files_of.setdefault(one["code"], set()).add(Path(one["filename"]).relative_to(ROOT).as_posix())
    return files_of


def test_what_the_linter_ignores_is_there() -> None:
    """Each rule that is ignored hits something: for all files, or in the files that it is ignored in."""
    lint: Any = PROJECT["tool"]["ruff"]["lint"]
    patterns = [(pattern, code) for pattern, codes in lint["per-file-ignores"].items() for code in codes]
    violated = hits(*{*lint["ignore"], *(code for _, code in patterns)})
    idle = [code for code in lint["ignore"] if not any(hit.startswith(code) for hit in violated)]
    others = {hit: files for hit, files in violated.items() if not hit.startswith(tuple(lint["ignore"]))}
    for pattern, code in patterns:
        files = {file for hit, files in others.items() if hit.startswith(code) for file in files}
        if not any(matches(file, pattern) for file in files):
            idle.append(f"{pattern}: {code}")
    assert idle == []


def matches(file: str, pattern: str) -> bool:
    """Whether a path fits one of ruff's patterns: alternatives in braces, a star within a folder, two across folders."""
    parts = re.split(r"(\*\*|\*|[{},])", pattern)
    into = {"**": ".*", "*": "[^/]*", "{": "(?:", "}": ")", ",": "|"}
    return re.fullmatch("".join(into.get(part, re.escape(part)) for part in parts), file) is not None


@pytest.mark.parametrize(
    ("reason", "arguments", "outcomes"),
    [
        ("tshark is not installed", ["--only-listed-skips"], {"errors": 1}),
        ("LibreOffice is not installed", ["--only-listed-skips"], {"skipped": 1}),
        ("tshark is not installed", [], {"skipped": 1}),
    ],
)
def test_a_skip_that_is_not_listed_fails(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    arguments: list[str],
    outcomes: dict[str, int],
) -> None:
    """Under the option a test that is skipped for a reason of its own fails; a listed reason is a skip."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makeconftest(f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.skips import *")
    pytester.makepyfile(f"import pytest\n@pytest.mark.skipif(True, reason={reason!r})\ndef test_one(): pass")
    pytester.runpytest_subprocess(*arguments).assert_outcomes(**outcomes)


def test_a_module_that_is_skipped_fails_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CI is set the option is on, and a module without what it needs is an error; an expected failure is none."""
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest(f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.skips import *")
    pytester.makepyfile(
        test_one="import pytest\npytest.importorskip('no_such_module')\ndef test_one(): pass",
        test_two="import pytest\n@pytest.mark.xfail\ndef test_two(): assert False",
    )
    pytester.runpytest_subprocess("--continue-on-collection-errors").assert_outcomes(errors=1, xfailed=1)


def test_listed_skips_are_some_test_s() -> None:
    """A reason that no test gives any more is taken off the list."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path.name != "skips.py"]
    assert [words for words in skips.LISTED if not any(words in text for text in texts)] == []


def test_modules_and_functions_are_short() -> None:
    """No module of the package is longer than 400 lines, no function than 60, nine functions of ten not than 25."""
    lengths = []
    for path in sorted((ROOT / "auditor").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lengths.append(node.end_lineno - node.lineno + 1)
                assert lengths[-1] <= 60, (path.name, node.name)
    assert sorted(lengths)[len(lengths) * 9 // 10] <= 25


def test_no_frame_asks_the_network() -> None:
    """Frames that scapy builds state their target: for one without it scapy asks the network who has the address."""
    unstated = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Ether" and not node.args:
                if "dst" not in {one.arg for one in node.keywords}:
                    unstated.append(f"{path.name}:{node.lineno}")
    assert unstated == []
