"""A report as Markdown: for tickets, wikis and mails."""

from typing import Any, BinaryIO

from auditor.border.text import markdown
from auditor.border.words import counted
from auditor.report import overview
from auditor.report.answer import answer
from auditor.report.plain import about
from auditor.report.proof import frames_text
from auditor.report.results import Results


def _table(headers: list[str], rows: list[list[Any]]) -> list[str]:
    lines = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
    return [*lines, *(f"| {' | '.join(markdown(value) for value in row)} |" for row in rows), ""]


def _cells(row: dict[str, Any], names: list[str]) -> list[Any]:
    return [*(row[name] for name in names[:3]), about(row), *(row[name] for name in names[3:])]


def write(result: Results, out: BinaryIO) -> None:
    """Summary by path, version and verdict, findings, what could not be judged, inputs."""
    manifest = result.manifest
    policies = ", ".join(f"{policy['id']} {policy['edition']}" for policy in manifest["policies"])
    counts = manifest["counts"]
    lines = [
        "# Traffic audit",
        "",
        f"**{markdown(answer(result).sentence)}**",
        "",
        f"Policy {markdown(policies)}; AWS address ranges of {markdown(manifest['ip_ranges']['date'])}; ",
    ]
    lines[-1] += f"{counted(counts['flows'], 'flow')}, {counted(counts['handshakes'], 'TLS handshake')}."
    lines.append("")
    found = overview.lines(result)
    if found:
        lines += ["## Paths and versions", ""]
        rows = [
            [one.words, overview.protocol_words(one.protocol), verdict, f"{count:,}"]
            for one in found
            for verdict, count in sorted(one.verdicts.items())
        ]
        lines += _table(["path", "version", "verdict", "flows"], rows)
    lines += [f"{markdown(words)}: {markdown(listed)}." for words, listed in overview.not_judged_words(result)]
    lines.append("")
    names = ["finding_id", "severity", "verdict", "title", "reason", "flows", "sample_frames"]
    findings = result.rows("findings", *names, "rule", "client_group", "service", "region", "evidence")
    if counts["captures"] > 1:  # then a frame's number alone says nothing
        findings = [row | {"sample_frames": frames_text(row)} for row in findings]
    lines += [f"## Findings ({len(findings)})", ""]
    if findings:
        lines += _table([*names[:3], "about", *names[3:]], [_cells(row, names) for row in findings])
        lines += ["## What they mean, and how to fix them", ""]
        for code in dict.fromkeys(row["rule"] for row in findings):
            rule = result.rule(code)
            if rule is not None:
                lines += [
                    f"- **{markdown(code)}: {markdown(rule['title'])}.** {markdown(rule['why'])} *Fix:* {markdown(rule['fix'])}"
                ]
                lines[-1] += f" *Source:* {markdown(rule['source'])}"
        lines.append("")
    if manifest["not_observable"]:
        lines += ["## Could not be judged", ""]
        rows = [
            [rule, one["flows"], one["reason"]] for rule, some in manifest["not_observable"].items() for one in some
        ]
        lines += _table(["rule", "flows", "why"], rows)
    lines += ["## Inputs", ""]
    lines += _table(["capture", "SHA-256"], [[one["name"], one["sha256"]] for one in manifest["inputs"]])
    out.write("\n".join(lines).encode())
