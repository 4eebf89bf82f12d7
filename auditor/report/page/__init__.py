"""The report as one page of HTML that opens offline: nothing is fetched, and no name from the network becomes markup."""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.report.flow_columns import FlowColumns
from auditor.report.page import findings, flow_table, style, view
from auditor.report.page.flow_table import FlowTable
from auditor.report.problems import problems
from auditor.report.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment


MOST_KEPT = 20  # letters that stay on one line: networks of IPv4, MACs, times, names of Regions
# Behind words, slashes, underscores and the labels of names: not at a hyphen, nor within an address of IPv4 or its network.
PIECES = re.compile(r"(?<=[ _])|(?<=/)(?!\d)|(?<=\.)(?=[^\d\s][^\s.]*\.)")
GZIP = 31  # window bits of zlib that ask for gzip's format


def write(result: Results, out: BinaryIO) -> None:
    """Write the page."""
    flows = FlowColumns.of(result)
    every = problems(result)
    data = _packed(_facts(result, flows, findings.further(every)))
    page = view.page(result, flows, every)
    sheet, script = style_sheet() + style.footer(page["footer"]), _file("page.js")
    text = (
        environment()
        .get_template("page.html")
        .render(page=page, csp=policy(sheet, script), style=sheet, script=script, data=data)
    )
    out.write(text.encode())


def _facts(result: Results, flows: FlowColumns, further: Any) -> Iterator[str]:
    """What the script of the page searches, as pieces of JSON: the flows, by what they can be filtered, and problems."""
    table, before = FlowTable(result, flows), '{"flows":{"columns":{'
    for name, column in table.columns():
        yield f"{before}{_json(name)}:{_json(column)}"
        before = ","
    yield "}," + _json(table.counts()).removeprefix("{")
    yield "," + _json({"facets": flow_table.FACETS, "problems": further}).removeprefix("{")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def environment() -> "Environment":
    """Where templates are, with all that is put into them escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=PackageLoader("auditor.report.page", ""),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["pieces"] = pieces
    return made


def pieces(text: str) -> list[tuple[str, bool]]:
    """Text in pieces between which lines may end, as the script has them; with each, whether it is short enough for one line."""
    return [(one, len(one) <= MOST_KEPT) for one in PIECES.split(text)]


def style_sheet() -> str:
    """The style sheet of all pages."""
    return style.sheet(_file("style.css"))


def _file(name: str) -> str:
    return files("auditor.report.page").joinpath(name).read_text(encoding="utf-8")


def policy(sheet: str, script: str | None = None) -> str:
    """The content security policy: this style sheet and this script, and nothing from anywhere."""
    rules = ["default-src 'none'", f"style-src '{_digest(sheet)}'", "img-src data:"]
    if script is not None:
        rules.append(f"script-src '{_digest(script)}'")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(pieces: Iterable[str]) -> str:
    """Compressed and in base64: what a page can hold without any of it being read as markup."""
    packer = zlib.compressobj(6, wbits=GZIP)
    data = b"".join([*(packer.compress(piece.encode()) for piece in pieces), packer.flush()])
    return base64.b64encode(data).decode()
