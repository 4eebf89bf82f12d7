"""How the path of a flow was judged, as a short text."""

from typing import Any

from auditor.errors import AuditError
from auditor.report.results import Results

SIDE_WORDS = {"client": "the client's packets", "server": "the server's packets"}


def _clean(value: Any) -> str:
    """Text from the network without control characters."""
    return "".join(c if c.isprintable() else "�" for c in str(value))


def explain_path(result: Results, flow_id: int) -> str:
    """The verdict of a flow's path, what decided, and all evidence for and against. Raises AuditError for no such flow."""
    import pyarrow.compute as pc

    rows = result.arrow("flows").filter(pc.field("flow_id") == flow_id).to_pylist()
    if not rows:
        raise AuditError(
            f"{result.folder}: no flow has the number {flow_id}; there are 1 to {result.manifest['counts']['flows']}"
        )
    flow = rows[0]
    evidence = result.arrow("evidence").filter(pc.field("flow_id") == flow_id).to_pylist()
    name = f" ({_clean(flow['server_name'])})" if flow["server_name"] else ""
    link = f", by {_clean(flow['path_link'])}" if flow["path_link"] else ""
    ends = f"{flow['client_ip']}:{flow['client_port']} to {flow['server_ip']}:{flow['server_port']}{name}"
    begun = f"{flow['started']:%Y-%m-%d %H:%M:%S} UTC in {_clean(flow['capture'])}"
    lines = [
        f"Flow {flow_id}: {ends}, {flow['transport']}, begun {begun}",
        f"Path: {flow['path']}, {_word(flow['path_confidence'])}{link}",
        f"Decided by: {_clean(flow['path_detail'])}",
    ]
    if flow["path_against"]:
        lines.append(f"Against it: {_clean(flow['path_against'])}")
    if flow["path_asymmetric"]:
        lines.append("The two directions went different ways.")
    if flow["path_changed"] is not None:
        lines.append(f"The path changed at {flow['path_changed']:%Y-%m-%d %H:%M:%S.%f} UTC.")
    for side, path, confidence in (
        ("client", "path_out", "path_out_confidence"),
        ("server", "path_back", "path_back_confidence"),
    ):
        mine = [row for row in evidence if row["direction"] == side]
        lines.append("")
        lines.append(f"{SIDE_WORDS[side].capitalize()}: {flow[path]}, {_word(flow[confidence])}")
        if not mine:
            lines.append("  no evidence of their path")
        for row in mine:
            frame = f", frame {row['frame']}" if row["frame"] else ""
            sign = "-" if row["confidence"] != "none" and row["path"] not in (flow[path], "private") else "+"
            sign = "?" if row["confidence"] == "none" else sign
            lines.append(
                f"  {sign} {row['path']}, {_word(row['confidence'])}: {_clean(row['detail'])} [{row['kind']}{frame}]"
            )
    return "\n".join(lines) + "\n"


def _word(confidence: str) -> str:
    return "not proven" if confidence == "none" else confidence
