"""Threads that an observed function starts go on in its span. Python itself gives a new thread an empty context."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from opentelemetry.context import Context, attach, detach, get_current

from vedette.scope import scope_of

T = TypeVar("T")

_MARK = "_vedette_carries"


def carry() -> None:
    """Makes `threading.Thread.start` and `ThreadPoolExecutor.submit` carry the context of their caller, if it is inside a span of ours.

    The threads of a pool outlive the call that started them: they carry nothing, each piece of work does.
    """
    if not getattr(threading.Thread.start, _MARK, False):
        threading.Thread.start = _starting(threading.Thread.start)  # type: ignore[assignment, method-assign]
        ThreadPoolExecutor.submit = _submitting(ThreadPoolExecutor.submit)  # type: ignore[method-assign]


def _starting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def carrying(self: threading.Thread) -> None:
        context = get_current()
        if scope_of(context) is not None and not self.ident:
            self.run = functools.partial(_within, context, self.run)  # type: ignore[method-assign]
        start(self)

    setattr(carrying, _MARK, True)
    return carrying


def _submitting(submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(submit)
    def carrying(self: ThreadPoolExecutor, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        context = get_current()
        if scope_of(context) is None:
            return submit(self, function, *args, **kwargs)
        token = attach(Context())
        try:
            return submit(self, _within, context, function, *args, **kwargs)
        finally:
            detach(token)

    return carrying


def _within(context: Context, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    token = attach(context)
    try:
        return function(*args, **kwargs)
    finally:
        detach(token)
