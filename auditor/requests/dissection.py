"""pyshark with a given tshark and its options. Imported where packets are dissected: it imports pyshark."""

import asyncio
import subprocess
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import Any

import pyshark

from auditor.requests import tshark


class Dissection(pyshark.FileCapture):  # type: ignore[misc] # it has no types
    """A capture as tshark dissects it, packet by packet: ``with Dissection(…) as packets``.

    It has an event loop of its own, so the thread that makes it must not run one. Once it is left, tshark has ended, and
    all that belonged to it is closed.
    """

    def __init__(
        self,
        path: str,
        program: str,
        files: Sequence[int] = (),
        begun: tuple[asyncio.AbstractEventLoop, Process] | None = None,
        **options: Any,
    ) -> None:
        """``files``: descriptors that tshark inherits, for paths that begin with ``tshark.OPEN``.

        ``begun``: a tshark that runs already, and its event loop; ``path`` is then what it is given.
        """
        self._program, self._files = program, files
        self._begun: Process | None
        loop, self._begun = begun or (asyncio.new_event_loop(), None)
        asyncio.set_event_loop(loop)
        super().__init__(path, eventloop=loop, keep_packets=False, **options)

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            asyncio.set_event_loop(None)
            self.eventloop.close()

    async def _get_tshark_process(self, packet_count: int | None = None, stdin: Any = None) -> Any:  # noqa: ARG002 - as pyshark has it
        """Start tshark confined, or take the one that was.

        pyshark's own way has no room for an environment or another program, and reads where tshark is from a config.ini
        of the working directory.
        """
        self._verify_capture_parameters()
        options = self.get_parameters(packet_count=packet_count)
        process = self._begun or await tshark.start(
            self._program, *options, stdin=subprocess.DEVNULL, files=self._files
        )
        self._create_stderr_handling_task(process.stderr)
        self._created_new_process(options, process)
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
