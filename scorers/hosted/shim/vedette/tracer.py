"""A tracer that records nothing: files that define an agent beside its scorer, or trace their own client, run as they are."""

from typing import Any


class Span:
    """A span that keeps nothing; every method of it does nothing."""

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


class TracerType(type):
    """`Tracer.init(…)` and `@Tracer.observe` are called on the class, too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_THE_TRACER, name)


class Tracer(metaclass=TracerType):
    """Takes what any tracer takes; decorators return their function as it is."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _ANSWERS.get(name, _nothing)


_THE_TRACER = Tracer()


class TraceScorerConfig:
    """Which scorer judges an observed function: nothing, here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


def wrap(client: Any) -> Any:
    """Returns the client as it is."""
    return client


def _decorator(function: Any = None, /, **_: Any) -> Any:
    return function if callable(function) else lambda own: own


def _span(*_: Any, **__: Any) -> Span:
    return Span()


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _tracer(*_: Any, **__: Any) -> Tracer:
    return _THE_TRACER


_ANSWERS = {
    "observe": _decorator,
    "agent": _decorator,
    "wrap": wrap,
    "span": _span,
    "get_current_span": _span,
    **dict.fromkeys(("init", "create", "get_instance", "initialize", "get_tracer"), _tracer),
}
"""Every other method does nothing."""
