"""The forms in which CloudTrail's events are handed out: as S3 has them, and what AWS's command line, CloudWatch, Athena and others make of them."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from auditor.border import gate
from auditor.border.gate import JsonLine

LISTS = ("Records", "Events", "events", "logEvents", "results", "QueryResultRows")  # members that hold a list of events
# Members of what events are wrapped in.
WRAPPINGS = ("logRecord", "CloudTrailEvent", "eventJson", "@message", "message", "Message", "detail")
MOST_WRAPPINGS = 3
COLOUR = re.compile(rb"\x1b\[[\d;]*m")  # of `aws logs tail --color on`
DATED = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (?:\S+ )?\{")  # a line of `aws logs tail`, or of an export to S3
DATED_LINE = re.compile(r"^" + DATED.pattern.decode(), re.MULTILINE)
MESSAGES = ("@message", "message")  # columns of Logs Insights, and of the console, that have an event
EVENTS = b"EVENTS\t"  # what --output text writes in front of each
# An event with these has its members' own names.
AS_DELIVERED = frozenset(("eventTime", "sourceIPAddress", "tlsDetails"))
# Columns that Athena and CloudTrail Lake make of an event's members, without capitals; a structure is text in them.
MEMBERS = {name.lower(): name for name in ("eventTime", "sourceIPAddress", "vpcEndpointId", "tlsDetails")}
TLS_MEMBERS = {name.lower(): name for name in ("tlsVersion", "cipherSuite", "clientProvidedHostHeader", "keyExchange")}
TLS = "tlsDetails."
TLS_MEMBER = re.compile(r"(\w+)=([^,}]*)")
INSIGHT = b'"AwsCloudTrailInsight"'  # the type of events that count calls, and are delivered in files of their own
HEAD = 1 << 16
JSON = re.compile(rb'[{[]|"\{')  # how it begins: also the texts of events one by one, as jq prints them


def looks_like(head: bytes) -> bool:
    text = COLOUR.sub(b"", head).removeprefix(b"\xef\xbb\xbf").lstrip()
    plain = text.replace(b'\\"', b'"').replace(b'""', b'"')  # records as text inside of what AWS prints, or of CSV
    if not JSON.match(text):
        first = plain.partition(b"\n")[0]
        if _is_table(first.decode("utf-8", "replace")):
            return True
        has_events = _message_column(first.decode("utf-8", "replace")) or EVENTS in plain or DATED.match(first)
        plain = plain if has_events else b""
    if INSIGHT in plain and b'"sourceIPAddress"' not in plain:
        return False
    empty = re.match(rb'\{\s*"(Records|Events)"\s*:\s*\[\s*\]', text) is not None
    return empty or (b'"eventSource"' in plain and b'"eventTime"' in plain)


def records(data: bytes) -> Iterator[JsonLine]:
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    text = COLOUR.sub(b"", text) if text[:1] == b"\x1b" else text
    if not JSON.match(text):
        yield from _of_text(text.decode("utf-8", "replace"))
        return
    number = 0
    for line in gate.json_lines(data):
        key = next((k for k in LISTS if isinstance(line.value, dict) and isinstance(line.value.get(k), list)), None)
        rows_of = line.value if key is None else line.value[key]
        for row in rows_of if isinstance(rows_of, list) else [rows_of]:
            number += 1
            yield JsonLine(number, row, line.wrong)


def _is_table(header: str) -> bool:
    """Whether columns of CSV are members of events."""
    return {"eventtime", "sourceipaddress"} <= {name.strip().strip('"').lower() for name in header.split(",")}


def _message_column(header: str) -> str | None:
    """The column of CSV that has the events."""
    names = [name.strip().strip('"') for name in header.strip().split(",")]
    return next((name for name in MESSAGES if name in names), None)


def _of_text(text: str) -> Iterator[JsonLine]:
    """The events in lines of a log group: CSV with a column of them, or each behind its time and stream, or between tabs."""
    header = text.partition("\n")[0]
    if (column := _message_column(header)) is not None or _is_table(header):
        number = 0
        try:
            for number, row in enumerate(csv.DictReader(io.StringIO(text)), 1):
                yield JsonLine(number, row) if column is None else _line(number, row.get(column) or "")
        except csv.Error as error:
            yield JsonLine(number + 1, None, f"not CSV: {error}")
        return
    mark = EVENTS.decode() if EVENTS.decode() in text[:HEAD] else ""  # others are tokens, streams and resources
    if DATED_LINE.match(text) and "\n}" in text:  # `aws logs tail --format json`: each over several lines
        for number, event in enumerate(DATED_LINE.split(text)[1:], 1):
            yield _line(number, f"{{{event.rstrip()}")
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and line.startswith(mark):
            yield _line(number, line[max(0, line.find("{")) :].partition("\t")[0])


def _line(number: int, text: str) -> JsonLine:
    try:
        return JsonLine(number, gate.from_json(text))
    except gate.RefusedError as error:
        return JsonLine(number, None, str(error))


def unwrapped(record: Any) -> dict[str, Any]:
    """The event in what ``lookup-events``, CloudWatch Logs, Logs Insights, EventBridge or SNS make of it."""
    for _ in range(MOST_WRAPPINGS):
        if isinstance(record, list):  # a row of get-query-results: a list of fields
            fields = [field for field in record if isinstance(field, dict)]
            named = {
                str(field.get("field", "")).lstrip("@"): field.get("value") for field in fields if "field" in field
            }
            # CloudTrail Lake: an object for each column; --query: values alone.
            record = named or {name: value for field in fields for name, value in field.items()} or _event_text(record)
        if isinstance(record, str):
            record = gate.from_json(record)
        inner = next((record[key] for key in WRAPPINGS if record.get(key)), None) if isinstance(record, dict) else None
        if isinstance(inner, str):
            record = gate.from_json(inner)
        elif isinstance(inner, dict):
            record = inner
        else:
            break
    is_other = isinstance(record, dict) and not record.keys() >= AS_DELIVERED
    if is_other and "eventtime" in {str(name).lower() for name in record}:
        record = {MEMBERS.get(str(name).lower(), name): value for name, value in record.items() if value is not None}
    if isinstance(record, dict) and "tlsDetails" not in record:  # of a structure Logs Insights names each member
        named = {name.removeprefix(TLS): value for name, value in record.items() if str(name).startswith(TLS)}
        record = {**record, "tlsDetails": named} if named else record
    if not isinstance(record, dict) or "eventTime" not in record:
        raise gate.RefusedError("no event of CloudTrail's")
    return record


def of_structure(text: str) -> Any:
    """The members of a structure that is text: JSON, or as Athena writes it."""
    if '"' in text:
        return gate.from_json(text)
    members = ((TLS_MEMBERS.get(name.lower()), value.strip()) for name, value in TLS_MEMBER.findall(text))
    return {name: value for name, value in members if name is not None and value != "null"}


def _event_text(values: list[Any]) -> Any:
    return next((value for value in values if isinstance(value, str) and value.lstrip().startswith("{")), None)
