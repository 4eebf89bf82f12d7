"""``audit sign`` and ``audit verify``: that results are what an audit wrote, who says so, and since when."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from auditor.border.words import agreed, counted
from auditor.cli.app import FAILED, FINDINGS, CaptureOption, ForceOption, app, say
from auditor.cli.results import saved
from auditor.errors import shown

FolderArgument = Annotated[Path, typer.Argument(help="Folder of saved results.", show_default=False)]


def _passphrase() -> str | None:
    """What opens a private key, asked for at the terminal; None where there is none."""
    import getpass

    return getpass.getpass("passphrase of the key: ") if sys.stdin.isatty() else None


@app.command("sign")
@saved()
def sign_command(
    folder: FolderArgument,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Private key: Ed25519, ECDSA or RSA, in PEM or OpenSSH's form.", show_default=False),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option("--timestamp-request", help="File to write for a time stamp authority.", show_default=False),
    ] = None,
    response: Annotated[
        Path | None,
        typer.Option("--timestamp-response", help="What the authority answered, to be kept.", show_default=False),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Sign results: signed.json states their SHA-256, signed.json.sig is its signature in the form of ssh-keygen -Y.

    The namespace is traffic-auditor. Without --key only signed.json is written, to be signed with an agent or a token:
    ssh-keygen -Y sign -n traffic-auditor -f KEY DIR/signed.json. An RFC 3161 time stamp is asked for and kept by files:
    curl -H 'Content-Type: application/timestamp-query' --data-binary @REQUEST URL > RESPONSE.
    """
    from auditor import Audit
    from auditor.report.seals.sealed import NAMESPACE

    result = Audit(folder)
    written = result.sign(key, _passphrase, force=force) if response is None or key is not None else []
    if request is not None:
        result.request_timestamp(request, force=force)
        say(f"the request is {shown(request)}; an authority's response goes to: audit sign --timestamp-response")
    if response is not None:
        say(f"the time stamp of {result.keep_timestamp(response)} is kept; audit verify --timestamp-ca checks it")
    if written:
        say(f"{' and '.join(written)} {'are' if len(written) > 1 else 'is'} in {shown(folder)}")
        if key is None and request is None:
            say(
                f"it is not signed yet: ssh-keygen -Y sign -n {NAMESPACE} -f KEY {shown(folder / written[0])}, or audit sign --key"
            )


@app.command("verify")
@saved()
def verify_command(
    folder: FolderArgument,
    capture: CaptureOption = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="Who must have signed: a public key in PEM or OpenSSH's form, or a list of allowed signers.",
            show_default=False,
        ),
    ] = None,
    response: Annotated[
        Path | None,
        typer.Option("--timestamp-response", help="RFC 3161 time stamp of these results.", show_default=False),
    ] = None,
    authorities: Annotated[
        Path | None,
        typer.Option("--timestamp-ca", help="Certificates of the authority that is believed.", show_default=False),
    ] = None,
) -> None:
    """Check whether results and captures are unchanged, by whom they were signed, and since when they are as they are.

    By the SHA-256 in custody.json and audit.json, and by signed.json's signature (namespace traffic-auditor) and time stamp. Exit
    code 0: all is there and unchanged, and nothing else is; 1: something changed, is missing or was added, or is not signed by
    whom it has to be; 2: a capture is not there, or there is nothing to verify by.
    """
    from auditor.cli.terminal import show_verified
    from auditor.report.verify import CAPTURES, verify_folder

    verified = list(verify_folder(folder, capture or (), key, response, authorities))
    show_verified(verified)
    if any(same is False for _, same, _ in verified):
        raise typer.Exit(FINDINGS)
    unknown = [name for name, same, _ in verified if same is None and (response is None or name != shown(response))]
    if CAPTURES in unknown:
        say(f"{CAPTURES} {verified[-1][2]}")
    elif unknown:
        named = f"{unknown[0]}{' and others' if len(unknown) > 1 else ''}"
        where = "" if capture else f"; --capture says where {agreed(len(unknown), 'it is', 'they are')} now"
        say(f"{counted(len(unknown), 'capture')} could not be verified: {named}{where}")
    if response is not None and authorities is None:
        say(f"{shown(response)} could not be verified: --timestamp-ca says which authority is believed")
    if any(same is None for _, same, _ in verified):
        raise typer.Exit(FAILED)
