"""pyshark with a given tshark and its options. Imported where packets are dissected: it imports pyshark."""

import asyncio
import subprocess
from collections.abc import Sequence
from typing import IO, Any

import pyshark

from auditor.requests import tshark


class StartedTshark:
    """A tshark that was started, as pyshark expects one of asyncio's: what it writes is read in the loop that runs.

    Loading asyncio takes a fourth of the time that tshark needs to start, so that it is started without.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process, self.pid = process, process.pid
        self._pipes: list[asyncio.ReadTransport] = []

    async def read(self) -> None:
        """Begin to read."""
        self.stdout, self.stderr = [
            await self._reader(pipe) for pipe in (self._process.stdout, self._process.stderr) if pipe is not None
        ]

    async def _reader(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        made = asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._pipes.append((await made)[0])
        return reader

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        return await asyncio.to_thread(self._process.wait)

    def close(self) -> None:
        """Read no more: a program that writes on ends."""
        for pipe in self._pipes:
            pipe.close()


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
        begun: "subprocess.Popen[bytes] | None" = None,
        **options: Any,
    ) -> None:
        """``files``: descriptors that tshark inherits, for paths that begin with ``tshark.OPEN``.

        ``begun``: a tshark that runs already; ``path`` is then what it is given.
        """
        self._program, self._files, self._begun = program, files, begun
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
        """Start tshark confined, or take the one that was.

        pyshark's own way has no room for an environment or another program, and reads where tshark is from a config.ini
        of the working directory.
        """
        self._verify_capture_parameters()
        options = self.get_parameters(packet_count=packet_count)
        process = StartedTshark(
            self._begun or tshark.start(self._program, *options, stdin=subprocess.DEVNULL, files=self._files)
        )
        await process.read()
        self._create_stderr_handling_task(process.stderr)
        self._created_new_process(options, process)
        return process

    async def _cleanup_subprocess(self, process: StartedTshark) -> None:
        """Wait for tshark's end, and raise where that was not a good one.

        pyshark's own way waits for a second and then forgets the process: its transports outlive their loop, and
        whether an exit code is seen depends on who is faster. It takes a tshark that a signal ended (a fault, a lack of
        memory) for one that came to its end.
        """
        if not self._eof_reached:  # nobody reads on: tshark would wait for room in its pipe
            process.close()
        await process.wait()
        self._running_processes.discard(process)
        if self._eof_reached:
            if (code := process.returncode) is not None and code < 0:
                raise pyshark.capture.capture.TSharkCrashException(f"tshark was ended by signal {-code}")
            await super()._cleanup_subprocess(process)
