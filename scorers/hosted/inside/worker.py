"""Runs inside the sandbox, alone: imports the bundle and answers batches of calls (the frames are scorers.hosted.channel's).

Only the standard library, one file, started as `python -I -S -B worker.py CODE PACKAGES SHIM DOOR CHANNEL` and given no trust by
the host. One thread judges; when it has begun no example for a moment, as when an author calls a blocking client, another one
helps, so that fast scorers pay for no locks and slow ones do not queue.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
import threading
import time
import types

TYPE_CHECKING = (
    False  # as typing's, which would be a slow import; so would asyncio, inspect, traceback, taken when needed
)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TextIO

    Frame = dict[str, Any]

METHODS = ("a_score_example", "score_example", "a_score_trace", "score_trace", "score")
MODULE = "scorer"
FILE = "/scorer.py"
STALLED_S = 0.005
BEAT_S = 0.25
TEXT = 16_384
FLOOD = 262_144


class Record(dict):  # type: ignore[type-arg]
    """What a method without an annotation is given: its fields as keys and as attributes."""

    def __getattr__(self, name: str) -> object:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the subject has no field {name!r}; it has {sorted(self)}") from None

    __setattr__ = dict.__setitem__

    def get_fields(self) -> dict[str, Any]:
        return dict(self)


class Printed:
    """Standard output of the author's code: kept apart for each judging thread, else passed on."""

    def __init__(self, passed_on: TextIO, limit: int) -> None:
        self.passed_on = passed_on
        self.limit = limit
        self.kept = threading.local()

    def begin(self) -> None:
        self.kept.parts, self.kept.left = [], self.limit

    def end(self) -> str:
        parts, self.kept.parts = self.kept.parts, None
        return "".join(parts)

    def __getattr__(self, name: str) -> object:
        return getattr(self.passed_on, name)

    def write(self, printed: str) -> int:
        parts = getattr(self.kept, "parts", None)
        if parts is None:
            self.passed_on.write(printed)
            self.passed_on.flush()
        else:
            if self.kept.left > 0:
                parts.append(printed[: self.kept.left])
            self.kept.left -= len(printed)
            self._slow_down(len(printed))
        return len(printed)

    def _slow_down(self, size: int) -> None:
        """Of what is over the limit, 25 MB a second are thrown away: a flood does not take the processor from others."""
        over = -self.kept.left
        if over > 0 and over // FLOOD != (over - size) // FLOOD:
            time.sleep(0.01)


class Channel:
    """Frames to and from the host."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.nonce = ""
        self.largest = 65_536
        self.sending = threading.Lock()

    def receive(self) -> Frame:
        (size,) = struct.unpack(">I", self._exactly(4))
        frame: Frame = json.loads(self._exactly(size))
        self.nonce = frame["n"]
        return frame

    def send(self, *frames: Frame) -> None:
        data = b"".join(map(self._packed, frames))
        with self.sending:
            while data:
                data = data[os.write(self.writing, data) :]

    def _packed(self, frame: Frame) -> bytes:
        body = self._body(frame)
        if len(body) > self.largest:
            body = self._body({name: _cut(value, self.largest // 16) for name, value in frame.items() if name != "o"})
        return struct.pack(">I", len(body)) + body

    def _body(self, frame: Frame) -> bytes:
        return json.dumps({"n": self.nonce, **frame}, separators=(",", ":")).encode()

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self.reading, min(size, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _cut(value: object, limit: int) -> object:
    return value[:limit] if isinstance(value, str) else value


def text(value: object, limit: int = TEXT) -> str:
    """A string as JSON can carry it: cut, without lone surrogates."""
    return str(value)[:limit].encode("utf-8", "replace").decode()


class Bundle:
    """The uploaded file, imported once, and the scorer class in it."""

    def __init__(self, folder: str, packages: str) -> None:
        module = types.ModuleType(MODULE)
        module.__file__ = folder + FILE
        sys.modules[MODULE] = module
        with open(folder + FILE, "rb") as source:
            code = source.read()
        self.needs_loop = bool(packages) or b"asyncio" in code
        exec(compile(code, folder + FILE, "exec"), vars(module))  # noqa: S102 - what a sandbox is for
        self.scorer = _scorer_of(module)
        self.method = next(name for name in METHODS if _defines(self.scorer, name))
        self.about_trace = self.method.endswith("trace")
        self.annotated = self._annotated(module)
        self.shape: Callable[..., Any] = self.annotated or (Record if self.about_trace else _plain_example())

    def _annotated(self, module: types.ModuleType) -> type | None:
        """The class of the method's argument, if it names one that can be made of fields."""
        hints = getattr(getattr(self.scorer, self.method), "__annotations__", {})
        hint = next((hint for name, hint in hints.items() if name != "return"), None)
        hint = vars(module).get(hint) if isinstance(hint, str) else hint
        return hint if isinstance(hint, type) and hint is not object and hint.__module__ != "typing" else None

    def subject(self, call: Frame) -> object:
        made = self.shape(**((call["t"] if self.about_trace else call["e"]) or {}))
        if not self.about_trace and call.get("t") is not None:
            made.trace = Record(call["t"])
        return made

    def manifest(self) -> Frame:
        scorer = self.scorer()
        fields = getattr(self.annotated, "model_fields", None) or getattr(self.annotated, "__annotations__", {})
        return {
            "class_name": text(self.scorer.__name__, 200),
            "scorer": text(getattr(scorer, "name", "") or self.scorer.__name__, 200),
            "threshold": _number(getattr(scorer, "threshold", None)),
            "kind": "trace" if self.about_trace else "example",
            "fields": [text(name, 200) for name in list(fields)[:200]],
        }


def _scorer_of(module: types.ModuleType) -> type:
    own = [found for found in vars(module).values() if isinstance(found, type) and found.__module__ == MODULE]
    scorers = [found for found in own if any(_defines(found, name) for name in METHODS)]
    leaves = [
        found for found in scorers if not any(found is not other and issubclass(other, found) for other in scorers)
    ]
    if len(leaves) != 1:
        names = ", ".join(found.__name__ for found in leaves) or "none"
        raise TypeError(f"a bundle has exactly one scorer class, with a method {' or '.join(METHODS)}; found {names}")
    return leaves[0]


def _defines(scorer: type, method: str) -> bool:
    """Whether the class or a parent in the bundle says how to judge; the bases of the shim only say that one must."""
    return any(method in vars(base) for base in scorer.__mro__ if base.__module__ == MODULE)


def _plain_example() -> Callable[..., Any]:
    """The example of the shim, any fields."""
    try:
        example: Callable[..., Any] = __import__("vedette").Example
    except (ImportError, AttributeError):
        return Record
    return example


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


class Judge:
    """Judges one example in the thread that asks, by a fresh instance and on that thread's own event loop."""

    def __init__(self, bundle: Bundle, printed: Printed) -> None:
        self.bundle, self.printed = bundle, printed
        self.own = threading.local()

    def judged(self, call: Frame) -> Frame:
        self.printed.begin()
        try:
            answer = self._verdict(call)
        except BaseException as error:
            answer = {"e": told_of(error)}
        log = self.printed.end()
        return {**answer, "o": text(log)} if log else answer

    def _verdict(self, call: Frame) -> Frame:
        scorer = self.bundle.scorer()
        for name, value in (call.get("o") or {}).items():
            lay_on(scorer, name, value)
        said = getattr(scorer, self.bundle.method)(self.bundle.subject(call))
        if hasattr(said, "__await__"):
            said = self._awaited(said) if self.bundle.needs_loop else driven(said)
        return verdict(said, scorer)

    def _awaited(self, said: Any) -> object:
        if not hasattr(self.own, "loop"):
            import asyncio

            self.own.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.own.loop)
        return self.own.loop.run_until_complete(said)


def lay_on(scorer: object, name: str, value: object) -> None:
    """Sets what a request asks for. A class without a place for it goes without; a method of that name stays one."""
    missing = object()
    own = getattr(scorer, name, missing)
    if callable(own):
        return
    try:
        setattr(scorer, name, value)
    except (AttributeError, TypeError, ValueError):
        if own is not missing:
            raise


def driven(said: Any) -> object:
    """Awaits what needs no event loop: asyncio would double the memory of an idle sandbox."""
    try:
        next(said.__await__())
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("it waits for something that no one will give: import asyncio in the file")


def verdict(said: object, scorer: object) -> Frame:
    """The frame's fields for what a scorer returned and left on itself."""
    if getattr(scorer, "error", None):
        return {"e": text(getattr(scorer, "error", ""))}
    value, reason, label = _parts(said, getattr(scorer, "reason", None))
    if value is None and label:
        return {"v": None, "r": text(reason or ""), "l": text(label, 200)}
    if not isinstance(value, int | float):
        return {"e": f"the scorer returned {type(said).__name__}; return a number from 0 to 1"}
    if not math.isfinite(number := float(value)):
        return {"e": f"the scorer returned {number}; return a finite number"}
    return {"v": number, "r": text(reason or ""), "l": text(label or "", 200)}


def _parts(said: object, reason: object) -> tuple[object, object, object]:
    """Value, reason and label of a number, a dict, or a response with `value` and `reason`; a text is a label."""
    label: object = ""
    value = said
    if isinstance(said, dict):
        value, reason, label = said.get("score", said.get("value")), said.get("reason", reason), said.get("label", "")
    elif hasattr(said, "value"):
        value, reason = said.value, getattr(said, "reason", reason)
    return (None, reason, value) if isinstance(value, str) else (value, reason, label)


def told_of(error: BaseException) -> str:
    """The error and the author's line that raised it."""
    try:
        import traceback

        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(FILE)]
        where = f" (scorer.py, line {lines[-1].lineno}, in {lines[-1].name})" if lines else ""
        return text(f"{type(error).__name__}: {error}", TEXT - 500) + where
    except BaseException:
        return "an error that cannot be told"


def _traceback(error: BaseException) -> str:
    """The traceback from the author's first line on."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    first = next((index for index, frame in enumerate(frames) if frame.filename.endswith(FILE)), len(frames))
    return text("".join([*traceback.format_list(frames[first:]), *traceback.format_exception_only(error)]))


class Crew:
    """The threads that judge a batch: one, and another whenever no example was begun for a moment."""

    def __init__(self, channel: Channel, judge: Callable[[Frame], Frame], most: int) -> None:
        self.channel, self.judge, self.most = channel, judge, most
        self.changed = threading.Condition()
        self.calls: Sequence[Frame] = ()
        self.next = self.called = self.at_work = self.members = 0

    def batch(self, calls: Sequence[Frame]) -> None:
        """Judges all of a batch; returns when the last answer is sent."""
        with self.changed:
            self.calls, self.next = calls, 0
            self._call_one()
            begun, beat = 0, time.monotonic() + BEAT_S
            while not self.changed.wait_for(self._done, STALLED_S if self.next < len(calls) else BEAT_S):
                if self.next == begun:
                    self._call_one()
                begun = self.next
                if time.monotonic() >= beat:
                    beat = time.monotonic() + BEAT_S
                    self.channel.send({"b": 1})

    def _done(self) -> bool:
        return self.next >= len(self.calls) and not self.called and not self.at_work

    def _call_one(self) -> None:
        busy = self.at_work + self.called
        if busy >= self.most or (busy and self.next >= len(self.calls)):
            return
        if busy == self.members:
            try:
                threading.Thread(target=self._member, daemon=True).start()
            except RuntimeError:
                self.most = max(1, self.members)
                return
            self.members += 1
        self.called += 1
        self.changed.notify_all()

    def _member(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.called)
                self.called -= 1
                self.at_work += 1
            self._work()
            with self.changed:
                self.at_work -= 1
                self.changed.notify_all()

    def _work(self) -> None:
        """Takes one example after the other; tells each answer together with the start of the next."""
        told: list[Frame] = []
        while (index := self._taken()) is not None:
            self.channel.send(*told, {"s": index})
            told = [{"a": index, **self.judge(self.calls[index])}]
        self.channel.send(*told)

    def _taken(self) -> int | None:
        with self.changed:
            if self.next >= len(self.calls):
                return None
            self.next += 1
            return self.next - 1


def main(code: str, packages: str, shim: str, door: str, channel_fds: str) -> None:
    """Serves batches until the host lets go of the channel."""
    channel = Channel(*map(int, channel_fds.split(",")))
    hello = channel.receive()
    channel.largest = hello["largest"]
    printed = Printed(sys.stdout, hello["log"])
    sys.stdout = sys.stderr = printed
    sys.path[:] = [shim, *sys.path, *filter(None, [packages])]
    threading.stack_size(2 << 20)
    if door:
        beside("door")["open_door"](door)
    judge, manifest = opened(code, packages, printed)
    channel.send({"m": manifest})
    crew = Crew(channel, judge, hello["threads"])
    while True:
        crew.batch(channel.receive()["calls"])


def beside(name: str) -> dict[str, Any]:
    """What a file beside this one defines; runpy would do it, and stay in memory."""
    file = f"{__file__.rpartition('/')[0]}/{name}.py"
    defined: dict[str, Any] = {"__name__": name}
    with open(file, "rb") as source:
        exec(compile(source.read(), file, "exec"), defined)  # noqa: S102 - it is ours
    return defined


def opened(code: str, packages: str, printed: Printed) -> tuple[Callable[[Frame], Frame], Frame]:
    """The way to judge, and the manifest; a bundle that cannot be imported answers every call with the reason."""
    printed.begin()
    try:
        bundle = Bundle(code, packages)
        manifest = bundle.manifest()
    except BaseException as error:
        told = {"e": told_of(error)}
        return lambda _: told, {"error": _traceback(error), "log": text(printed.end())}
    return Judge(bundle, printed).judged, {**manifest, "log": text(printed.end())}


if __name__ == "__main__":
    main(*sys.argv[1:])
