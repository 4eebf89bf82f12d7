"""pyshark, told which tshark to start and how. Imported where packets are dissected: it imports pyshark."""

import asyncio
import subprocess
from typing import Any

import pyshark

from auditor.machine import isolated
from auditor.requests import tshark


class Dissection(pyshark.FileCapture):  # type: ignore[misc] # it has no types
    """A capture as tshark dissects it, packet by packet."""

    def __init__(self, path: str, program: str, **options: Any) -> None:
        self._program = program
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
            env=isolated.environment(tshark.SETTINGS),
        )
        self._create_stderr_handling_task(process.stderr)
        self._created_new_process(command, process)
        return process
