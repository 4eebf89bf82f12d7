"""The command line: all commands, and how errors end. What takes time to load is imported inside the commands."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor import __version__
from auditor.cli import auditing, policies, results, topology  # noqa: F401 - their commands are the application's
from auditor.cli.app import DONE, FAILED, FINDINGS, INTERRUPTED, app, say
from auditor.errors import AuditError

if TYPE_CHECKING:
    from auditor.capture.digest import Child

__all__ = ["app", "main"]


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"audit {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Was this traffic private? Audits packet captures of traffic to AWS: path, TLS, forward secrecy, signing."""


@app.command("doctor")
def doctor_command(
    compare: Annotated[
        Path | None,
        typer.Option("--compare", help="Compare our tables with tshark's answers on this capture.", show_default=False),
    ] = None,
) -> None:
    """Say what is installed, what is missing, and what that means.

    With --compare: 0 if every cell is as tshark has it, 1 if one is not.
    """
    from auditor.cli import doctor

    if compare is None:
        doctor.doctor()
    elif not doctor.compare(compare):
        raise typer.Exit(FINDINGS)


def main(hashing: "Child | None" = None) -> None:
    """Run the command line: errors of the user's are one sentence, and exit code 2.

    ``hashing`` is a process that hashes the first capture already.
    """
    code = DONE
    if hasattr(signal, "SIGPIPE"):  # as other programs do: end where nobody reads on, as in: audit pcap … | head
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app(obj=hashing)
    except AuditError as error:
        say(str(error))
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as ended:  # typer turns Ctrl-C into one too
        code = ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except Exception as error:
        if os.environ.get("AUDITOR_DEBUG"):
            raise
        say(f"internal error ({type(error).__name__}: {error}); AUDITOR_DEBUG=1 shows where; please report it")
        code = FAILED
    if code == INTERRUPTED:
        say("interrupted")
    if hashing is not None:
        hashing.stop()
    # Taking the interpreter and LLVM apart in good order takes a third of a second, and nobody needs it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
