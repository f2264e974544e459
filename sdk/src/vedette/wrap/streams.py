"""Streams that are watched while their reader reads them: same type, same laziness, nothing read ahead."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from vedette.core import guarded
from vedette.wrap.call import Call


class Reading:
    """An iterator over the chunks of a stream that tells each to a call."""

    def __init__(self, inner: Iterator[Any], call: Call) -> None:
        self._inner = inner
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._call.reading = True
        try:
            chunk = next(self._inner)
        except StopIteration:
            self._call.finished()
            raise
        except BaseException as error:
            self._call.failed(error)
            raise
        finally:
            self._call.reading = False
        self._call.chunk(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class AsyncReading:
    """The same for asynchronous streams."""

    def __init__(self, inner: AsyncIterator[Any], call: Call) -> None:
        self._inner = inner
        self._call = call

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self._call.reading = True
        try:
            chunk = await anext(self._inner)
        except StopAsyncIteration:
            self._call.finished()
            raise
        except BaseException as error:
            self._call.failed(error)
            raise
        finally:
            self._call.reading = False
        self._call.chunk(chunk)
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@guarded
def watch(stream: Any, call: Call) -> None:
    """Has a stream of a provider's client tell its chunks to a call, which ends with it or when it is closed."""
    inner = stream._iterator  # noqa: SLF001
    stream._iterator = AsyncReading(inner, call) if hasattr(inner, "__anext__") else Reading(inner, call)  # noqa: SLF001
    _at_close(stream.response, call.closed, call)


@guarded
def watch_raw(raw: Any, call: Call, *, streams: bool) -> None:
    """Tells a call what a raw response holds as soon as its owner has read it; nothing is read for it."""
    body = _read(raw.http_response)
    if body is not None and not streams:
        call.answered(json.loads(body))
        return
    _at_close(raw, lambda: _tell_read(raw, call), call)
    raw.parse = _parsing(raw.parse, call)


def _parsing(parse: Callable[..., Any], call: Call) -> Callable[..., Any]:
    @wraps(parse)
    def parsed(*args: Any, **kwargs: Any) -> Any:
        return _found(parse(*args, **kwargs), call)

    @wraps(parse)
    async def parsed_later(*args: Any, **kwargs: Any) -> Any:
        return _found(await parse(*args, **kwargs), call)

    return parsed_later if iscoroutinefunction(parse) else parsed


def _found(answer: Any, call: Call) -> Any:
    if hasattr(answer, "_iterator"):
        watch(answer, call)
    else:
        call.answered(answer)
    return answer


@guarded
def _tell_read(raw: Any, call: Call) -> None:
    body = _read(raw.http_response)
    call.closed() if not body else call.answered(json.loads(body))


def _read(response: Any) -> bytes | None:
    """The body of a response that was read already, None of any other."""
    try:
        body = response.content
    except Exception:  # the HTTP clients have an exception of their own for a body that was not read
        return None
    return body if isinstance(body, bytes) else None


def _at_close(closed: Any, ended: Callable[[], None], call: Call) -> None:
    """Calls `ended` when a response is closed from outside.

    The response refers to itself from then on, as the HTTP clients' own responses do; a dropped stream is still closed at once.
    """
    for name in ("close", "aclose"):
        method = getattr(closed, name, None)
        if callable(method):
            setattr(closed, name, _closing(method, ended, call))


def _closing(method: Callable[[], Any], ended: Callable[[], None], call: Call) -> Callable[[], Any]:
    @wraps(method)
    def close() -> Any:
        try:
            return method()
        finally:
            if not call.reading:
                ended()

    @wraps(method)
    async def close_later() -> Any:
        try:
            return await method()
        finally:
            if not call.reading:
                ended()

    return close_later if iscoroutinefunction(method) else close


def generator(inner: Callable[[], Iterator[Any]], begin: Callable[[], Call | None]) -> Iterator[Any]:
    """Yields what a generator yields; its call begins, as its request does, when the first chunk is asked for."""
    call = begin()
    source = inner()
    if call is None:
        yield from source
        return
    try:
        yield from Reading(source, call)
    finally:
        call.closed()


async def async_generator(source: Any, call: Call) -> AsyncIterator[Any]:
    """Yields what an asynchronous generator yields."""
    try:
        async for chunk in AsyncReading(source, call):
            yield chunk
    finally:
        call.closed()
        await source.aclose()


def recorded(
    function: Callable[..., Any],
    begin: Callable[..., Call | None],
    settle: Callable[[Any, Call, dict[str, Any]], Any],
) -> Callable[..., Any]:
    """Returns a function whose calls are recorded, asynchronous if it was.

    Args:
        function: a method of a provider's client, bound to it.
        begin: takes the arguments of a call; None leaves the call alone.
        settle: takes the answer, the call and the keyword arguments; returns the answer for the caller.
    """

    @wraps(function)
    def call_it(*args: Any, **kwargs: Any) -> Any:
        call = begin(*args, **kwargs)
        if call is None:
            return function(*args, **kwargs)
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        return settle(answer, call, kwargs)

    @wraps(function)
    async def await_it(*args: Any, **kwargs: Any) -> Any:
        call = begin(*args, **kwargs)
        if call is None:
            return await function(*args, **kwargs)
        try:
            answer = await function(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        return settle(answer, call, kwargs)

    return await_it if iscoroutinefunction(function) else call_it
