"""``audit topology``: files that say what the owner of a site knows."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.border.text import printable
from auditor.cli.app import ForceOption, check_effect, target_of, topology_app
from auditor.errors import shown

if TYPE_CHECKING:
    from auditor.paths.topology import Topology


@topology_app.command("init")
def topology_init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("site.toml"),
    force: ForceOption = False,
) -> None:
    """Write a commented example of a topology file."""
    from auditor.machine import writing
    from auditor.paths.topology import example

    with writing.whole(file, force=force) as out:
        out.write(example().encode())
    sys.stdout.write(f"{shown(file)} is written; edit it, then: audit pcap CAPTURE --topology {shown(file)}\n")


@topology_app.command("check")
def topology_check(
    file: Annotated[Path, typer.Argument(help="File to check.", show_default=False)],
) -> None:
    """Check a topology file, and say what was understood."""
    from auditor.paths.topology import Topology

    site = Topology.read(file)
    _describe(str(file), site)


@topology_app.command("suggest")
def topology_suggest(
    capture: Annotated[list[str], typer.Argument(help="Captures to look at.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; without it standard output.", show_default=False)
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write a topology of what captures show of links (VLANs, MACs, interfaces, addresses), to complete by hand."""
    out = target_of(out)
    check_effect("--force", force, out, "--out")
    import auditor
    from auditor.machine import writing
    from auditor.paths.suggest import suggested

    columns = (
        "client_ip",
        "server_ip",
        "client_packets",
        "server_packets",
        "interface",
        "vlan",
        "tunnel",
        "server_mac",
    )
    result = auditor.audit(capture)
    try:
        text = suggested(result.rows("flows", *columns), result.rows("network", "kind", "subject", "mac"))
    finally:
        result.close()
    if out is None:
        sys.stdout.write(text)
        return
    with writing.whole(out, writing.identities(map(Path, capture)), force=force) as file:
        file.write(text.encode())
    sys.stdout.write(f"{shown(out)} is written; complete it, then: audit topology check {shown(out)}\n")


@topology_app.command("aws")
def topology_aws(
    folder: Annotated[Path, typer.Argument(help="Folder of the AWS command line's JSON.", show_default=False)],
) -> None:
    """Check what the AWS command line says of an account, and say what was understood."""
    from auditor.paths import aws_files

    _describe(str(folder), aws_files.read(folder))


@topology_app.command("fetch")
def topology_fetch(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)],
    profile: Annotated[
        str | None, typer.Option("--profile", help="Profile of the AWS configuration.", show_default=False)
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Region to ask in; may be given again.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files of an earlier time.")] = False,
) -> None:
    """Get from AWS what decides where traffic goes (needs the extra aws); keys and router configurations are left out."""
    from auditor.paths.fetch import fetch

    for file, rows in fetch(out, profile, region or [], force=force):
        sys.stdout.write(f"{shown(file)}: {rows}\n")


def _describe(name: str, site: "Topology") -> None:
    """Print what a topology says."""
    sites = ", ".join(f"{s.name} ({', '.join(s.on_premises) or 'prefixes not given'})" for s in site.site)
    lines = [f"{shown(name)}: {sites or 'no site'}"]
    for link in site.links():
        parts = [f"VLAN {link.vlan}" if link.vlan else "", f"peer {' '.join(link.peer_mac + link.peer_address)}"]
        parts += [f"interface {' '.join(link.interface)}" if link.interface else "", " ".join(link.prefixes[:8])]
        lines.append(f"  {link.path}: {link.words}: {', '.join(t for t in parts if t.removeprefix('peer '))}")
    lines += [f"  vpc: {vpc.name}: {' '.join(vpc.prefixes)}" for vpc in site.vpc]
    lines += [f"  endpoint: {one.name}: {one.service or '?'}: {' '.join(one.addresses)}" for one in site.endpoint]
    lines += [f"  attachment: {one.name}: {one.kind} {one.link or ''}".rstrip() for one in site.attachment]
    from auditor.cli.terminal import write

    write("".join(f"{printable(line)}\n" for line in lines))
