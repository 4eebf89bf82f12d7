"""Help: an example for each command, and words in place of Python's types. Loads nothing: it is part of every start."""

from collections.abc import Sequence
from typing import Any

# What stands for a value, by the name of its parameter where that does not say it; what is not here has its name in capitals.
WORDS = {
    "as_of": "YYYY-MM-DD",
    "aws": "FOLDER",
    "by": "COLUMNS",
    "capture_filter": "FILTER",
    "captures": "CAPTURE",
    "compare": "CAPTURE",
    "duration": "SECONDS",
    "fail_on": "SEVERITY",
    "finding": "FINDING",
    "flow": "FLOW",
    "form": "FORM",
    "history": "FOLDER",
    "ip_ranges": "FILE",
    "authorities": "FILE",
    "join_key": "FILE",
    "key": "FILE",
    "keylog": "FILE",
    "request": "FILE",
    "response": "FILE",
    "name": "POLICY",
    "jobs": "NUMBER",
    "out": "FILE",
    "policy": "POLICY",
    "profile": "NAME",
    "routes": "FILE",
    "skew": "SECONDS",
    "topology": "FILE",
    "where": "CONDITION",
    "witness": "FILE",
    "words": "[FOLDER] QUESTION",
}
FOLDERS = {"pcap", "live", "judge", "topology fetch"}  # commands whose --out is a folder
EXAMPLES = {
    "": (
        "audit capture.pcap                                   # the same as audit pcap capture.pcap",
        "audit pcap capture.pcap --topology site.toml --out results",
        "audit report results                                 # one page of HTML",
        "audit help TLS101                                    # what a rule asks for, and how to fix it",
    ),
    "pcap": (
        "audit pcap capture.pcap --topology site.toml --out results",
        "zcat big.pcap.gz | audit pcap - --fail-on high --brief",
        "audit pcap captures/ --all --format concise | grep TLS1",
    ),
    "live": ("sudo audit live eth0 --duration 60 --filter 'tcp port 443' --out results",),
    "judge": (
        "audit judge results --policy pci-dss-4.0.1 --out results-pci",
        "audit judge results --topology site.toml --all --brief",
    ),
    "report": ("audit report results -o report.html",),
    "export": (
        "audit export results --format sarif -o audit.sarif",
        "audit export results --format csv --table handshakes --where \"tls_version < 'TLS 1.2'\"",
    ),
    "extract": (
        "audit extract results TLS101-1 --explain",
        "audit extract results TLS101-1 -o evidence.pcapng",
    ),
    "sign": (
        "audit sign results --key ~/.ssh/id_ed25519 --timestamp-request request.tsq",
        "audit sign results --timestamp-response response.tsr",
    ),
    "verify": (
        "audit verify results --capture archive/",
        "audit verify results --key allowed_signers --timestamp-ca authority.pem",
    ),
    "diff": ("audit diff results-october results-november --fail-on new",),
    "history": (
        "audit pcap capture.pcap --history audits && audit history audits",
        "audit history audits --where \"client = '10.20.2.0/24'\"",
    ),
    "who": (
        "audit who results tls1.0",
        "audit who results TLS102 --by network",
        "audit who results \"tls_version < 'TLS 1.2' and service = 'pinpoint'\"",
    ),
    "list": (
        "audit list results --where \"tls_version < 'TLS 1.2'\" --by client",
        "audit list results --table findings --where \"severity >= 'high'\" --format csv",
    ),
    "sql": (
        "audit sql results 'show tables'",
        "audit sql results 'select service, sum(flows) from findings group by 1' --format csv",
    ),
    "policies": ("audit policies", "audit policies --where \"id like 'nist%'\" --format json"),
    "rules": ("audit rules --policy pci-dss-4.0.1 --format json", "audit rules --where \"severity >= 'high'\""),
    "rule": ("audit rule TLS101",),
    "help": ("audit help TLS101", "audit help pcap"),
    "completion": ("audit completion bash > ~/.local/share/bash-completion/completions/audit",),
    "man": ("audit man > ~/.local/share/man/man1/audit.1", "audit man | man -l -"),
    "doctor": ("audit doctor --compare capture.pcap",),
    "topology init": ("audit topology init site.toml",),
    "topology check": ("audit topology check site.toml",),
    "topology suggest": ("audit topology suggest capture.pcap --out site.toml",),
    "topology aws": ("audit topology aws aws/",),
    "topology fetch": ("audit topology fetch --profile audit --region eu-west-1 --out aws/",),
    "policy show": ("audit policy show aws-pinpoint",),
    "policy check": ("audit policy check ours.toml",),
    "paths explain": ("audit paths explain results 4caab9d",),
}
CODES = (
    "Exit codes: 0 done; 1 findings at or above --fail-on, or what changed; 2 the work, or a part of it, could not be done; "
    "130 interrupted."
)


def dress(command: Any, path: str) -> Any:
    """A command whose help has words for values, its choices, and examples; ``path``: its name, that of its group before it."""
    if getattr(command, "is_dressed", False):
        return command
    command.is_dressed = True
    for parameter in command.params:
        _dress_parameter(parameter, path)
    command.format_epilog = lambda _, formatter: write_examples(path, formatter)
    command.short_help = (command.help or "").strip().split("\n\n")[0].replace("\n", " ")  # whole: click would cut it
    return command


def _dress_parameter(parameter: Any, path: str) -> None:
    if getattr(parameter, "is_flag", False) or parameter.name is None:
        return
    word = parameter.metavar or WORDS.get(parameter.name, parameter.name.upper())
    if parameter.name == "out" and path in FOLDERS:
        word = "FOLDER"
    choices = getattr(getattr(parameter, "type_descriptor", None), "choices", None)
    if choices and parameter.help:
        listed = ", ".join(str(getattr(one, "value", one)) for one in choices)
        parameter.help = f"{parameter.help.rstrip('.')}: {listed}."
    is_several = parameter.nargs == -1
    if parameter.param_type_name == "argument":
        word = word if not is_several or word.startswith("[") else f"{word}..."
        parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - typer's own takes it
        parameter._rich_display_name = lambda: word  # noqa: SLF001 - typer has no other way to say it
        parameter._usage_display_name = lambda: word if parameter.required else f"[{word}]"  # noqa: SLF001 - likewise
    parameter.metavar = word


def _fitted(examples: Sequence[str], room: int) -> list[str]:
    """Examples with what they mean beside them, or above them where there is no room."""
    parts = [(command.rstrip(), meaning) for command, _, meaning in (line.partition("  # ") for line in examples)]
    beside = [f"{command}  # {meaning}" if meaning else command for command, meaning in parts]
    for lines in (list(examples), beside):
        if all(len(line) <= room for line in lines):
            return lines
    return [line for command, meaning in parts for line in ([f"# {meaning}"] if meaning else []) + [command]]


def write_examples(path: str, formatter: Any) -> None:
    """The examples of a command; behind those of the program the exit codes."""
    examples = EXAMPLES.get(path, ())
    if examples:
        formatter.write(f"\nExample{'s' if len(examples) > 1 else ''}:\n")
        formatter.write("".join(f"  {line}\n" for line in _fitted(examples, formatter.width - 2)))
    if not path:
        formatter.write("\n")
        formatter.write_text(CODES)
