"""Functions that are watched: plain ones, coroutines, generators and asynchronous generators keep their kind, signature and name.

A call opens something (a span, an agent's activation) whose context is current while the function's own code runs, and at no
other time: a generator's consumer runs in its own context.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol, TypeVar, cast

from opentelemetry.context import Context, attach, detach, get_current

from vedette.core import Core

F = TypeVar("F", bound=Callable[..., Any])


class Opened(Protocol):
    """One call that has begun. Nothing of it raises."""

    @property
    def context(self) -> Context:
        """What is current while the function's own code runs."""

    def yielded(self, item: Any) -> None:
        """Notes what a generator gave."""

    def returned(self, *result: Any) -> None:
        """Closes the call; a generator has no result."""

    def failed(self, error: BaseException) -> None:
        """Closes the call that raised."""


Open = Callable[[tuple[Any, ...], dict[str, Any]], Opened | None]
"""Begins a call with these arguments; None when it cannot be watched."""


def watched(function: F, core: Core, begin: Open) -> F:
    """Returns the function with `begin` before each call, as long as the tracer is on."""
    if isinstance(function, (staticmethod, classmethod)):
        inner = watched(function.__func__, core, begin)
        return cast("F", type(function)(inner))
    if inspect.isasyncgenfunction(function):
        wrapper: Callable[..., Any] = _async_generator(function, core, begin)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, core, begin)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, core, begin)
    else:
        wrapper = _plain(function, core, begin)
    return cast("F", functools.wraps(function)(wrapper))


def _plain(function: Callable[..., Any], core: Core, begin: Open) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not core.on or (opened := begin(args, kwargs)) is None:
            return function(*args, **kwargs)
        token = attach(opened.context)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            detach(token)
            opened.failed(error)
            raise
        detach(token)
        opened.returned(result)
        return result

    return call


def _coroutine(function: Callable[..., Any], core: Core, begin: Open) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        if not core.on or (opened := begin(args, kwargs)) is None:
            return await function(*args, **kwargs)
        token = attach(opened.context)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            detach(token)
            opened.failed(error)
            raise
        detach(token)
        opened.returned(result)
        return result

    return call


def _generator(function: Callable[..., Any], core: Core, begin: Open) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        if not core.on or (opened := begin(args, kwargs)) is None:
            return (yield from function(*args, **kwargs))
        inner: Generator[Any, Any, Any] = function(*args, **kwargs)
        step: Callable[..., Any] = inner.send
        given: Any = None
        try:
            while True:
                token = attach(opened.context)
                try:
                    item = step(given)
                finally:
                    detach(token)
                opened.yielded(item)
                try:
                    given = yield item
                    step = inner.send
                except GeneratorExit:
                    _closed(inner, opened)
                    raise
                except BaseException as error:
                    given, step = error, inner.throw
        except StopIteration as end:
            opened.returned()
            return end.value
        except GeneratorExit:
            opened.returned()
            raise
        except BaseException as error:
            opened.failed(error)
            raise

    return call


def _closed(inner: Generator[Any, Any, Any], opened: Opened) -> None:
    token = attach(opened.context)
    try:
        inner.close()
    finally:
        detach(token)


def _async_generator(function: Callable[..., Any], core: Core, begin: Open) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        opened: Opened = (begin(args, kwargs) if core.on else None) or Unwatched()
        inner: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        step: Callable[..., Any] = inner.asend
        given: Any = None
        try:
            while True:
                item = await _in_context(opened, step, given)
                opened.yielded(item)
                try:
                    given = yield item
                    step = inner.asend
                except GeneratorExit:
                    await _in_context(opened, inner.aclose)
                    raise
                except BaseException as error:
                    given, step = error, inner.athrow
        except StopAsyncIteration:
            opened.returned()
        except GeneratorExit:
            opened.returned()
            raise
        except BaseException as error:
            opened.failed(error)
            raise

    return call


async def _in_context(opened: Opened, step: Callable[..., Any], *given: Any) -> Any:
    token = attach(opened.context)
    try:
        return await step(*given)
    finally:
        detach(token)


class Unwatched:
    """A call of which nothing is noted."""

    @property
    def context(self) -> Context:
        """Leaves it as it is."""
        return get_current()

    def yielded(self, item: Any) -> None:
        """Notes nothing."""

    def returned(self, *result: Any) -> None:
        """Notes nothing."""

    def failed(self, error: BaseException) -> None:
        """Notes nothing."""
