"""The host's end of one running sandbox: sends batches, reads answers, keeps the deadline, kills."""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from scorers.hosted.batch import Batch
from scorers.hosted.channel import Answer, Call, Died, Garbage, Manifest, Unfinished, manifest, packed, question, taken
from scorers.hosted.process import Process
from scorers.hosted.sandbox import Limits

THREADS = 16
MANIFEST_S = 60.0
EXIT_S = 0.5
"""A process that closed its channel has this long to end by itself."""
GIVES_WAY_S = 0.02
"""A sandbox that needs longer for each example leaves the processors to those that are fast."""


@dataclass(frozen=True)
class Ends:
    """The host's ends of the two pipes."""

    reading: int
    writing: int


class Channel:
    """Reads and writes without blocking; hands over what has come as a buffer, None at the end."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self.buffer = bytearray()
        self.ended = False
        self._changed = asyncio.Event()
        for fd in (ends.reading, ends.writing):
            os.set_blocking(fd, False)
        self._loop.add_reader(ends.reading, self._read)

    def send(self, data: bytes) -> None:
        self._unsent += data
        self._write()

    def _write(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._ends.writing, self._unsent[: 1 << 20])]
        except BlockingIOError:
            self._loop.add_writer(self._ends.writing, self._write)
            return
        except BrokenPipeError:
            self._unsent.clear()
        self._loop.remove_writer(self._ends.writing)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._ends.reading, 1 << 18)
            self.buffer += data
            if not data:
                self.ended = True
                self._loop.remove_reader(self._ends.reading)
            self._changed.set()

    async def changed(self, until: float) -> None:
        """Waits for something new, at most until a moment of the monotonic clock."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._changed.wait()

    def close(self) -> None:
        """Lets go; whoever waits for something new is told that nothing comes any more."""
        self.ended = True
        self._changed.set()
        self._loop.remove_reader(self._ends.reading)
        self._loop.remove_writer(self._ends.writing)
        os.close(self._ends.reading)
        os.close(self._ends.writing)


class Run:
    """A cell whose program ends by itself."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of the outermost process, as the host sees it."""
        return self._process.pid

    @property
    def log(self) -> str:
        return self._process.log.text

    @property
    def alive(self) -> bool:
        return not self._process.ended

    async def run(self, deadline_s: float) -> tuple[int, str]:
        """Waits for the program to end: its exit code (negative: a signal) and what it printed.

        Raises:
            TimeoutError: it was killed after `deadline_s`.

        """
        code = await self._process.exit(deadline_s)
        await self._process.kill()
        if code is None:
            raise TimeoutError(f"it ran longer than {deadline_s:g} s and was killed; it printed: {self.log[-2000:]}")
        return code, self.log

    async def manifest(self, deadline_s: float = MANIFEST_S) -> Manifest:
        """Only a worker has one."""
        raise TypeError(f"not a worker: it has no manifest in {deadline_s:g} s or ever")

    async def call(self, batch: Sequence[Call], deadline_s: float) -> list[Answer]:
        """Only a worker is called."""
        raise TypeError(f"not a worker: it answers none of {len(batch)} calls in {deadline_s:g} s or ever")

    async def kill(self) -> None:
        """Ends every process of the sandbox; harmless when it has ended already."""
        await self._process.kill()


class Worker(Run):
    """A cell whose program is the worker."""

    def __init__(self, process: Process, ends: Ends, limits: Limits) -> None:
        super().__init__(process)
        self._channel = Channel(ends)
        self._limits = limits
        self._nonce = secrets.token_hex(8)
        self._manifest: Manifest | None = None
        self._dead = ""
        self._batches = 0
        self._turn = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        threads = max(1, min(THREADS, limits.processes // 3))
        hello = {
            "n": self._nonce,
            "threads": threads,
            "largest": limits.frame_kib << 10,
            "log": limits.output_kib << 10,
        }
        self._channel.send(packed(hello))

    @property
    def alive(self) -> bool:
        """Whether it can be called. One that spoke unasked cannot: it may have been left a trap."""
        return not (self._dead or self._channel.ended or self._channel.buffer or self._process.ended)

    async def manifest(self, deadline_s: float = MANIFEST_S) -> Manifest:
        """Returns what the bundle says of itself; an import that hangs or dies is told in `error`."""
        async with self._turn:
            if self._manifest is None:
                self._manifest = await self._introduced(deadline_s)
            return self._manifest

    async def _introduced(self, deadline_s: float) -> Manifest:
        end = time.monotonic() + deadline_s
        try:
            while not self._channel.ended and time.monotonic() < end:
                for frame in taken(self._channel.buffer, self._limits.frame_kib << 10):
                    if frame.get("n") != self._nonce:
                        raise Garbage("a frame of another batch")
                    return manifest(frame)
                await self._channel.changed(end)
            why = await self._why() if self._channel.ended else f"not done after {deadline_s:g} s"
        except Garbage as error:
            why = f"garbage: {error}"
        await self._bury(why)
        return Manifest(error=f"the sandbox ended while the bundle was imported: {why}", log=self.log)

    async def call(self, batch: Sequence[Call], deadline_s: float) -> list[Answer]:
        """Returns one answer per call, in order, and never raises for what the scorer does.

        Args:
            batch: judged by fresh instances, several at a time.
            deadline_s: seconds for each example, from its own start, kept by the host.

        """
        await self.manifest()
        async with self._turn:
            if not self.alive:
                refused = Unfinished() if self._batches else Died(self._dead or "garbage: it spoke unasked")
                await self._bury("garbage: it spoke unasked")
                return [refused] * len(batch)
            self._batches += 1
            asked = Batch(secrets.token_hex(8), len(batch), deadline_s, time.monotonic(), first=self._batches == 1)
            slow = self._loop.call_later(GIVES_WAY_S * len(batch), partial(self._process.give_way, yields=True))
            self._channel.send(question(asked.nonce, batch))
            try:
                return await self._answers(asked)
            finally:
                slow.cancel()
                if self._loop.time() < slow.when():
                    self._process.give_way(yields=False)

    async def _answers(self, asked: Batch) -> list[Answer]:
        try:
            while not asked.complete:
                self._take(asked)
                if asked.complete:
                    break
                if self._channel.ended:
                    why = await self._why()
                    await self._bury(why)
                    return asked.died(why)
                if (now := time.monotonic()) >= asked.due():
                    await self._bury("an example ran too long")
                    return asked.overdue(now)
                await self._channel.changed(asked.due())
        except Garbage as error:
            await self._bury(f"garbage: {error}")
            return asked.garbled(error)
        except asyncio.CancelledError:
            await self._bury("the batch was cancelled")
            raise
        return [asked.answers[index] for index in range(asked.size)]

    def _take(self, asked: Batch) -> None:
        now = time.monotonic()
        for frame in taken(self._channel.buffer, self._limits.frame_kib << 10):
            if asked.complete:
                raise Garbage("a frame after the last answer")
            asked.read(frame, now)

    async def _why(self) -> str:
        code = await self._process.exit(within_s=EXIT_S)
        return "garbage: it closed its channel" if code is None else self._process.why(code)

    async def kill(self) -> None:
        """Ends every process of the sandbox; harmless when it has ended already."""
        await self._bury("killed")

    async def _bury(self, why: str) -> None:
        if not self._dead:
            self._dead = why
            self._channel.close()
        await self._process.kill()
