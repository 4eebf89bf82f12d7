"""pyshark, told which tshark to start and how. Imported where packets are dissected: it imports pyshark."""

import asyncio
import contextlib
import subprocess
from collections.abc import Sequence
from typing import Any

import pyshark

from auditor.machine import isolated
from auditor.requests import tshark

# A file without a name that a process inherited. Those of a parent cannot be opened across user namespaces.
OPEN = "/proc/self/fd"
SECONDS_TO_END = 10.0


class Dissection(pyshark.FileCapture):  # type: ignore[misc] # it has no types
    """A capture as tshark dissects it, packet by packet."""

    def __init__(self, path: str, program: str, files: Sequence[int] = (), **options: Any) -> None:
        """``files``: descriptors that tshark inherits, for paths that begin with ``OPEN``."""
        self._program = program
        self._files = files
        super().__init__(path, keep_packets=False, **options)

    async def _get_tshark_process(self, packet_count: int | None = None, stdin: Any = None) -> Any:  # noqa: ARG002 - as pyshark has it
        """Start tshark confined.

        pyshark's own way has no room for an environment or another program, and reads where tshark is from a config.ini
        of the working directory.
        """
        self._verify_capture_parameters()
        options = self.get_parameters(packet_count=packet_count)
        command = tshark.command(self._program, "-l", "-T", "pdml", *options)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=isolated.FOLDER,
            pass_fds=self._files,
            env=isolated.environment(tshark.SETTINGS),
        )
        self._create_stderr_handling_task(process.stderr)
        self._created_new_process(command, process)
        return process

    async def _cleanup_subprocess(self, process: Any) -> None:
        """Wait for a tshark that has said all.

        pyshark would kill it while it ends: by chance the real status is lost, and a good end is taken for a crash, or a
        crash for a good end.
        """
        if self._eof_reached:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), SECONDS_TO_END)
        await super()._cleanup_subprocess(process)
