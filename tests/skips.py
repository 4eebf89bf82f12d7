"""Skips that continuous integration may show. Any other one is a failure there: a test that vanishes proves nothing.

``--only-listed-skips`` asks for it, as ``make test`` does; where ``CI`` is set, it is asked for.
"""

import os
from collections.abc import Generator

import pytest

# What a skip's reason says → why it may be.
LISTED = {
    "no corpus; set AUDITOR_CORPUS": "the public captures are no part of the project",
    "no path cases; set AUDITOR_CASES": "a lab's captures are no part of the project",
    "set AUDITOR_CASES": "the cases are no part of the project",
    "no bench scripts": "they lie beside the corpus",
    "bird": "a routing daemon is nothing to install for a test",
    "network namespaces are not allowed here": "few containers may make them",
    "LibreOffice is not installed": "it is as large as all else together",
}
Reported = Generator[None, pytest.TestReport, pytest.TestReport]
Collected = Generator[None, pytest.CollectReport, pytest.CollectReport]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option, on by itself where ``CI`` is set."""
    parser.addoption(
        "--only-listed-skips",
        action="store_true",
        default=bool(os.environ.get("CI")),
        help="fail tests that are skipped for a reason which is not listed in tests/skips.py",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Reported:
    """A test that was skipped."""
    report = yield
    if not hasattr(report, "wasxfail"):
        judge(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Collected:
    """A module that was skipped."""
    report = yield
    judge(report, collector.config)
    return report


def judge(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    """Turn a skip into a failure where its reason is not listed."""
    if report.outcome != "skipped" or not config.getoption("only_listed_skips"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if not any(words in reason for words in LISTED):
        report.outcome = "failed"
        report.longrepr = f"{reason}: this skip is not listed in tests/skips.py"
