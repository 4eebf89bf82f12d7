"""The command line: all commands, and how errors end. What takes time to load is imported inside the commands."""

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor import __version__
from auditor.cli import asking, auditing, judging, manual, policies, proving, results, topology  # noqa: F401 - their commands are the application's
from auditor.cli.app import DONE, FAILED, FINDINGS, INTERRUPTED, OwnProcess, app, said, say
from auditor.errors import AuditError, shown

if TYPE_CHECKING:
    from auditor.capture.digest import DigestChild

__all__ = ["app", "main"]
SOON = 0.01  # seconds
# By signal(7), what ends a process: of people, terminals, timers and limits, and not of faults of its own.
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU")
# What typer raises for what a user wrote: its own copy of click has it, or click itself.
Refusal: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
# What pydantic and click say of values of options, and how a person would say it.
IN_WORDS = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be a valid integer\b.*"), "not a whole number"),
    (re.compile(r"Input should be a valid number\b.*"), "not a number"),
    (re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)"), r"\1: that is more than the command takes"),
    (re.compile(r" does not match the formats '%Y-%m-%d'"), ": give a day as 2026-11-27"),
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"audit {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and exit.")
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


def main(hashing: "DigestChild | None" = None) -> None:
    """Run the command line: errors of the user's are one sentence, and exit code 2.

    ``hashing`` is a process that hashes the first capture already.
    """
    code = FAILED
    try:
        _heed_signals()
        ended = _run(hashing)
        sys.stdout.flush()
        code = ended
    except AuditError as error:
        if str(error) not in said:
            say(str(error))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        _end_as_unread()
    except UnicodeEncodeError as error:
        character = f"U+{ord(error.object[error.start]):04X}"
        encoding = sys.stdout.encoding or error.encoding  # the error calls some "charmap"
        say(f"standard output is {encoding}, which has no {character}: set PYTHONIOENCODING=utf-8")
    except MemoryError:
        say("there is not enough memory: end other programs, or give --memory a smaller size")
    except OSError as error:
        say(_words_of(error))
    except Exception as error:
        if _is_interrupted(error):
            code = INTERRUPTED
        elif os.environ.get("AUDITOR_DEBUG"):
            raise
        else:
            say(f"internal error ({type(error).__name__}: {error}); AUDITOR_DEBUG=1 shows where; please report it")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending
    if code == INTERRUPTED:
        say("interrupted")
    _end(code, hashing)


def _words_of(error: OSError) -> str:
    """What an error of the system says, with the file that it is of."""
    if error.errno == errno.EBADF and error.filename is None:
        return "standard output is closed: let it lead to a terminal, a file or a pipe"
    return f"{shown(error.filename or 'standard output')}: {error.strerror or error}"


def _end(code: int, hashing: "DigestChild | None") -> None:
    """End the process, with what it began: other processes, temporary folders."""
    if hashing is not None:
        hashing.stop()
    if (fetched := sys.modules.get("auditor.report.fetched")) is not None:
        fetched.forget_all()
    # Taking the interpreter and LLVM apart in good order takes a third of a second, and nobody needs it.
    os._exit(code)


def _ending() -> list[int]:
    """The signals that end a process, as far as this system has them."""
    return [getattr(signal, name) for name in ENDING if hasattr(signal, name)]


def _heed_signals() -> None:
    """Let each signal that ends a process be a KeyboardInterrupt, but what was ignored before, as nohup does."""
    for number in _ending():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    sys.unraisablehook = _interrupt_again


def _interrupt_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Where a signal came in a finalizer or a callback of Python's, from which nothing is raised: once more, when it is over."""
    heeded = [number for number in _ending() if signal.getsignal(number) is signal.default_int_handler]
    if ignored.exc_type is KeyboardInterrupt and heeded:
        threading.Timer(SOON, os.kill, (os.getpid(), heeded[0])).start()
    else:
        sys.__unraisablehook__(ignored)


def _is_interrupted(error: BaseException | None) -> bool:
    """Whether an error came of Ctrl-C: what Python calls while it makes a class turns all into RuntimeError, that too."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _run(hashing: "DigestChild | None") -> int:
    """Run the command; its exit code."""
    try:
        manual.complete()
        code = _asked(sys.argv[1:])(obj=OwnProcess(hashing), standalone_mode=False)
    except Refusal as error:
        _refuse(error)
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as ended:  # rich and typer make one of a pipe that nobody reads
        if isinstance(ended.__context__, BrokenPipeError):
            raise BrokenPipeError from ended
        code = DONE if ended.code is None else ended.code
    return code if isinstance(code, int) else FAILED if code else DONE


def _asked(words: Sequence[str]) -> typer.Typer:
    """The application with the command alone that is asked for, where it is: typer makes each one of an application anew."""
    asked = [one for one in app.registered_commands if words and one.name == words[0] not in manual.OF_ALL]
    if not asked:
        return app
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = asked, []
    return alone


def _refuse(error: Any) -> None:
    """Say what is wrong with what was written, which may be the name of somebody else's file, and where to read on."""
    words = error.format_message()
    context = getattr(error, "ctx", None)
    if context is not None and words == context.get_help():  # nothing was written
        sys.stderr.write(f"{words}\n")
        return
    where = context.command_path if context is not None else "audit"
    for theirs, ours in IN_WORDS:
        words = theirs.sub(ours, words)
    say(f"{' '.join(words.split()).rstrip('.')} ({where} -h says more)")


def _end_as_unread() -> None:
    """End as other programs do where nobody reads on, as in ``audit pcap … | head``; nothing is left behind by now."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
