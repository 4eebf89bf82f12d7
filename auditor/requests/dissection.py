"""pyshark with a given tshark and its options. Imported where packets are dissected: it imports pyshark."""

import asyncio
import subprocess
from collections.abc import Sequence
from typing import Any

import pyshark

from auditor.machine import isolated
from auditor.requests import tshark

# A file without a name that a process inherited. Those of a parent cannot be opened across user namespaces.
OPEN = "/proc/self/fd"


class Dissection(pyshark.FileCapture):  # type: ignore[misc] # it has no types
    """A capture as tshark dissects it, packet by packet: ``with Dissection(…) as packets``.

    It has an event loop of its own, so the thread that makes it must not run one. Once it is left, tshark has ended, and
    all that belonged to it is closed.
    """

    def __init__(self, path: str, program: str, files: Sequence[int] = (), **options: Any) -> None:
        """``files``: descriptors that tshark inherits, for paths that begin with ``OPEN``."""
        self._program, self._files = program, files
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        super().__init__(path, eventloop=loop, keep_packets=False, **options)

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            asyncio.set_event_loop(None)
            self.eventloop.close()

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
        """Wait for tshark's end, and raise where that was not a good one.

        pyshark's own way waits for a second and then forgets the process: its transports outlive their loop, and
        whether an exit code is seen depends on who is faster.
        """
        if not self._eof_reached:  # nobody reads on: tshark would wait for room in its pipe
            process._transport.close()  # noqa: SLF001 - asyncio closes the pipes of a process nowhere else
        await process.wait()
        self._running_processes.discard(process)
        if self._eof_reached:
            await super()._cleanup_subprocess(process)
