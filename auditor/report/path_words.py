"""How the path of a flow was judged, as a short text."""

from collections.abc import Iterator
from typing import Any

from auditor.border.text import printable
from auditor.border.words import agreed, counted
from auditor.report import flow_ids
from auditor.report.results import Results
from auditor.tables.value_sets import EVIDENCE

CHANGES = "PTH103"  # the rule that describes changes in words
COOKED = "Linux-cooked"  # link types of captures that have the sender's MAC alone
SIDE_WORDS = {"client": "the client's packets", "server": "the server's packets"}


def explain_path(result: Results, flow: int | str) -> str:
    """The verdict of a flow's path, what decided, and all evidence for and against. Raises AuditError for no such flow."""
    flow_id = flow_ids.found(result, flow)
    row = result.about("flows", [flow_id]).to_pylist()[0]
    evidence = result.about("evidence", [flow_id]).to_pylist()
    taken = next(
        (one for one in result.rows("captures", "capture", "link_types") if one["capture"] == row["capture"]), {}
    )
    cooked = COOKED in (taken.get("link_types") or "")
    name = f" ({printable(row['server_name'])})" if row["server_name"] else ""
    link = f", by {printable(row['path_link'])}" if row["path_link"] else ""
    ends = f"{row['client_ip']}:{row['client_port']} to {row['server_ip']}:{row['server_port']}{name}"
    begun = f"{row['started']:%Y-%m-%d %H:%M:%S} UTC in {printable(row['capture'])}"
    lines = [
        f"Flow {flow_ids.short(result, [flow_id])[0]}: {ends}, {row['transport']}, begun {begun}",
        f"Path: {row['path']}, {_word(row['path_confidence'])}{link}",
        f"Decided by: {printable(row['path_detail'])}",
    ]
    if row["path_against"]:
        lines.append(f"Against it: {printable(row['path_against'])}")
    if row["path_asymmetric"]:
        lines.append("The two directions went different ways.")
    if row["path_changed"] is not None:
        lines.append(f"The path changed at {row['path_changed']:%Y-%m-%d %H:%M:%S.%f} UTC.")
        lines += [f"  {printable(reason)}" for reason in _changes(result, flow_id)]
    for side, path, confidence in (
        ("client", "path_out", "path_out_confidence"),
        ("server", "path_back", "path_back_confidence"),
    ):
        lines += ["", f"{SIDE_WORDS[side].capitalize()}: {row[path]}, {_word(row[confidence])}"]
        lines += _side(row | {"cooked": cooked}, side, row[path], [one for one in evidence if one["direction"] == side])
    return "\n".join(lines) + "\n"


def _changes(result: Results, flow_id: int) -> list[str]:
    """What the policy's rule on changes says: from where to where, at which frame."""
    return [row["reason"] for row in result.about("verdicts", [flow_id]).to_pylist() if row["rule"] == CHANGES]


def _side(flow: dict[str, Any], side: str, path: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Where a direction's packets were seen, then what speaks for its path and against it, the strongest first."""
    packets = flow[f"{side}_packets"]
    places = [row for row in rows if row["kind"] == "position"]
    rest = sorted((row for row in rows if row["kind"] != "position"), key=lambda row: EVIDENCE.index(row["kind"]))
    if places:
        yield f"  seen: {counted(packets, 'packet')} at {counted(len(places), 'position')}"
    elif packets:
        yield f"  seen: {counted(packets, 'packet')}, {agreed(packets, 'at', 'all at')} one position: {_position(flow, side)}"
    elif any(row["frame"] for row in rest):
        yield "  seen: no packet of it in these VLANs and tunnels, but in other ones, where the same connection has a row of its own"
    else:
        yield "  seen: no packet of it is in the capture"
    for row in places:
        yield f"    {printable(row['detail'])}"
    fitting = [row for row in rest if row["confidence"] != "none" and row["path"] in (path, "private")]
    others = [row for row in rest if row["confidence"] != "none" and row["path"] not in (path, "private")]
    if path == "unknown" and len(others) > 1:
        yield f"  these disagree, and none is stronger: {printable(others[0]['detail'])}; {printable(others[1]['detail'])}"
    if not rest:
        yield "  no evidence of their path"
    for sign, some in (("+", fitting), ("-", others), ("?", [row for row in rest if row["confidence"] == "none"])):
        for row in some:
            frame = f", frame {row['frame']}" if row["frame"] else ""
            frame += f" of {printable(row['capture'])}" if row["frame"] and row["capture"] != flow["capture"] else ""
            where = f"{row['path']}, {_word(row['confidence'])}"
            yield f"  {sign} {where}: {printable(row['detail'])} [{row['kind']}{frame}]"


def _position(flow: dict[str, Any], side: str) -> str:
    """The one position of a direction, as far as the flow's row has it: of the flow's first direction."""
    ends = (flow["client_mac"], flow["server_mac"])
    source, target = ends if side == "client" else ends[::-1]
    parts = [f"interface {printable(flow['interface'])}"] if flow["interface"] else []
    parts += [f"VLAN {flow['vlan']}" if flow["vlan"] else "untagged"]
    if flow["cooked"]:  # each direction's sender is known, and not to whom
        parts += [f"from {source} (a cooked capture has the sender's MAC alone)"] if source else []
    else:
        parts += [f"{source} to {target}"] if source and target else []
    parts += [f"in a tunnel ({flow['tunnel']})"] if flow["tunnel"] else []
    return ", ".join(parts)


def _word(confidence: str) -> str:
    return "not proven" if confidence == "none" else confidence
