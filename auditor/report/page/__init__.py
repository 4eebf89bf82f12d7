"""The report as one page of HTML that opens offline: nothing is fetched, and no name from the network becomes markup."""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.border.text import printable
from auditor.policy.findings import client_group
from auditor.report.change import service_of
from auditor.report.plain import about, iso
from auditor.report.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment


MOST_FLOWS = 20_000  # in the table of the page: the worst first
MOST_FINDINGS = 500
MOST_LINKS = 40  # of the diagram
BINS = 48  # of time
VERDICTS = ["fail", "warn", "not_observable", "pass", "not_applicable"]
PRIVATE = ("direct-connect", "vpn", "vpc")
COLUMNS = (
    *("flow_id", "verdict", "started", "client_ip", "server", "path", "path_confidence", "protocol", "tls_version"),
    *("cipher_suite", "forward_secrecy", "service", "region", "bytes"),
)
FLOW = (
    *("flow_id", "started", "client_ip", "server_ip", "server_name", "service", "region", "path", "path_confidence"),
    *("protocol", "tls_version", "cipher_suite", "forward_secrecy", "verdict", "client_bytes", "server_bytes"),
    "path_asymmetric",
)
RANK = {verdict: number for number, verdict in enumerate(VERDICTS)}


def write(result: Results, out: BinaryIO) -> None:
    """Write the page."""
    text = (
        environment()
        .get_template("page.html")
        .render(
            style=style(),
            script=_file("page.js"),
            plotly=_packed(_plotly()),
            data=_packed(json.dumps(facts(result), ensure_ascii=True, separators=(",", ":")).encode()),
        )
    )
    out.write(text.encode())


def environment() -> "Environment":
    """Where templates are, with all that is put into them escaped."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    return Environment(loader=PackageLoader("auditor.report.page", ""), autoescape=select_autoescape(default=True))


def style() -> str:
    """The style sheet of all pages."""
    return _file("style.css")


def _file(name: str) -> str:
    return files("auditor.report.page").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> bytes:
    return files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()


def _packed(data: bytes) -> str:
    """Compressed and in base64: what a page can hold without any of it being read as markup."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def facts(result: Results) -> dict[str, Any]:
    """What the page shows, as plain values."""
    manifest = result.manifest
    flows = list(_flows(result))
    scope = [row for row in flows if row["in_scope"]]
    return {
        "title": ", ".join(printable(one["name"]) for one in manifest["inputs"][:3]),
        "policies": [f"{policy['id']} {policy['edition']}" for policy in manifest["policies"]],
        "site": manifest["site"],
        "ranges": manifest["ip_ranges"]["date"],
        "counts": manifest["counts"],
        "answer": _answer(scope),
        "paths": _links(scope),
        "versions": _over_time(result),
        "post_quantum": _post_quantum(result),
        "round_trips": manifest["round_trips"],
        "findings": _findings(result),
        "not_observable": manifest["not_observable"],
        "columns": list(COLUMNS),
        "flows": _table(flows),
        "flows_in_all": len(flows),
        "inputs": [{**one, "name": printable(one["name"])} for one in manifest["inputs"]],
        "versions_used": manifest["versions"],
        "notes": manifest["notes"],
    }


def _flows(result: Results) -> Iterator[dict[str, Any]]:
    for row in result.rows("flows", *FLOW):
        row["bytes"] = row["client_bytes"] + row["server_bytes"]
        row["server"] = row["server_name"] or row["server_ip"]
        row["in_scope"] = row["verdict"] != "not_applicable" and row["service"] is not None
        yield row


def _answer(scope: list[dict[str, Any]]) -> dict[str, Any]:
    """How much of the traffic to AWS was private, and of how much that is unknown."""
    private = [row for row in scope if row["path"] in PRIVATE]
    unknown = [row for row in scope if row["path"] in ("unknown", "private")]
    verdicts = Counter(row["verdict"] for row in scope)

    def size(some: list[dict[str, Any]]) -> int:
        return sum(row["bytes"] for row in some)

    return {
        "flows": len(scope),
        "bytes": size(scope),
        "private_flows": len(private),
        "private_bytes": size(private),
        "unknown_flows": len(unknown),
        "asymmetric_flows": sum(row["path_asymmetric"] is True for row in private),
        "verdicts": {name: verdicts[name] for name in VERDICTS if verdicts[name]},
    }


def _links(scope: list[dict[str, Any]]) -> list[list[Any]]:
    """Client group, path, service and Region, worst verdict, flows: the strands of the diagram."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for row in scope:
        counts[client_group(row["client_ip"]), row["path"], service_of(row), row["verdict"]] += 1
    kept = counts.most_common(MOST_LINKS)
    rest = sum(counts.values()) - sum(count for _, count in kept)
    links: list[list[Any]] = [[*key, count] for key, count in sorted(kept)]
    return [*links, ["others", "others", "others", "not_applicable", rest]] if rest else links


def _over_time(result: Results) -> dict[str, Any]:
    """Handshakes by version in bins of time."""
    shakes = [row for row in result.rows("handshakes", "started", "tls_version") if row["tls_version"] is not None]
    if not shakes:
        return {"times": [], "series": {}}
    first, last = min(row["started"] for row in shakes), max(row["started"] for row in shakes)
    width = max(1, (last - first) // BINS + 1)
    series: dict[str, list[int]] = {}
    for row in shakes:
        series.setdefault(row["tls_version"], [0] * BINS)[(row["started"] - first) // width] += 1
    return {"times": [iso(first + k * width) for k in range(BINS)], "series": dict(sorted(series.items()))}


def _post_quantum(result: Results) -> dict[str, int]:
    kinds = Counter(row["post_quantum_kind"] or "not seen" for row in result.rows("handshakes", "post_quantum_kind"))
    return dict(sorted(kinds.items()))


def _findings(result: Results) -> list[dict[str, Any]]:
    from auditor.report.proof import display_filter

    findings = []
    for row in list(result.records("findings"))[:MOST_FINDINGS]:
        rule = result.rule(row["rule"]) or {}
        row["filter"], row["about"] = display_filter(row), about(row)
        row["ways"] = [[place, way] for place, way in rule.get("ways", {}).items()]
        row["why"], row["fix"], row["source"] = (rule.get(name, "") for name in ("why", "fix", "source"))
        findings.append({name: printable(value) if isinstance(value, str) else value for name, value in row.items()})
    return findings


def _table(flows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The columns of the page's table; texts that are equal are kept once and referred to by number."""
    ordered = sorted(flows, key=lambda row: (not row["in_scope"], RANK[row["verdict"]], row["flow_id"]))[:MOST_FLOWS]
    columns: dict[str, list[Any]] = {}
    for name in COLUMNS:
        values = [iso(row[name])[:19] if name == "started" else row[name] for row in ordered]  # type: ignore[index]
        if all(isinstance(value, int) for value in values):
            columns[name] = values
            continue
        texts: dict[Any, int] = {}
        codes = [texts.setdefault(None if value is None else printable(value), len(texts)) for value in values]
        columns[name] = [list(texts), codes]
    return columns
