"""The report as one page of HTML that opens offline: nothing is fetched, and no name from the network becomes markup."""

import base64
import gzip
import hashlib
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.report.flow_columns import FlowColumns
from auditor.report.page import findings, flow_table, style, view
from auditor.report.problems import problems
from auditor.report.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def write(result: Results, out: BinaryIO) -> None:
    """Write the page."""
    flows = FlowColumns.of(result)
    every = problems(result)
    data = {**facts(result, flows), "problems": findings.further(every)}
    page = view.page(result, flows, every)
    sheet, script = style_sheet() + style.footer(page["footer"]), _file("page.js")
    text = (
        environment()
        .get_template("page.html")
        .render(page=page, csp=policy(sheet, script), style=sheet, script=script, data=_packed(data))
    )
    out.write(text.encode())


def facts(result: Results, flows: FlowColumns) -> dict[str, Any]:
    """What the script of the page searches: the flows, and by what they can be filtered."""
    return {"flows": flow_table.packed(result, flows), "facets": flow_table.FACETS}


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
    made.filters["parted"] = parted
    return made


def parted(text: str) -> "Markup":
    """The name of a suite, which may be broken between its words."""
    from markupsafe import Markup

    return Markup("_<wbr>").join(text.split("_"))


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


def _packed(data: dict[str, Any]) -> str:
    """Compressed and in base64: what a page can hold without any of it being read as markup."""
    plain = json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(plain, 6, mtime=0)).decode()
