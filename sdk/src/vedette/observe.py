"""What `observe` records of a call: its arguments, its result, its failure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vedette.calls import Opened
from vedette.core import Core, guarded
from vedette.evaluate import TraceScorerConfig
from vedette.freeze import NODES, Frozen, dump
from vedette.recording import AttributeValue, Recording, start

NAMED_FIRST = frozenset(("self", "cls"))


@dataclass(frozen=True)
class Parameters:
    """How positional arguments are called."""

    names: tuple[str, ...]
    rest: str
    skipped: int
    """1 when the first is the object or the class whose method it is"""

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Returns the arguments by name, without the object."""
        found = dict(zip(self.names, args[self.skipped :], strict=False))
        further = args[self.skipped + len(self.names) :]
        if further:
            found[self.rest] = further
        return {**found, **kwargs} if kwargs else found


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """Returns the parameters of a function; of one that does not tell them, only that there are some."""
    try:
        told = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return Parameters((), "args", 0)
    names = [one.name for one in told if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    rest = next((one.name for one in told if one.kind is one.VAR_POSITIONAL), "args")
    skipped = 1 if names and names[0] in NAMED_FIRST else 0
    return Parameters(tuple(names[skipped:]), rest, skipped)


@dataclass(frozen=True)
class Observe:
    """Begins the span of each call of one function."""

    core: Core
    name: str
    attributes: Mapping[str, AttributeValue]
    parameters: Parameters
    keeps_input: bool = True
    keeps_output: bool = True
    scorer_config: TraceScorerConfig | None = None

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Opened | None:
        """Starts the span, with the arguments as they are now."""
        try:
            recording = start(self.core, self.name, self.attributes)
            if self.keeps_input:
                recording.set_input(self.parameters.named(args, kwargs))
            if self.scorer_config is not None and self._judges(self.scorer_config, args, kwargs):
                recording.wanted.append(self.scorer_config)
            return Observed(recording, self.keeps_output)
        except Exception as error:
            self.core.trouble("a call could not be observed", error)
            return None

    def _judges(self, config: TraceScorerConfig, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        try:
            return config.run_condition is None or bool(config.run_condition(*args, **kwargs))
        except Exception as error:
            self.core.trouble("run_condition raised, so the call is not judged", error)
            return False


class Observed:
    """A call whose span is open."""

    __slots__ = ("_items", "_keeps_output", "_recording", "_state", "context")

    def __init__(self, recording: Recording, keeps_output: bool) -> None:  # noqa: FBT001 - one for each call: names cost
        self._recording = recording
        self._keeps_output = keeps_output
        self._items: Items | None = None
        self.context = recording.context
        activation = recording.scope.activation
        self._state: Callable[[], Any] | None = activation.state if activation is not None else None
        if self._state is not None:
            self._note_state("vedette.state_before")

    @guarded
    def yielded(self, item: Any) -> None:
        """Keeps what a generator gave, as far as there is room."""
        if self._keeps_output:
            self._items = self._items or Items()
            self._items.add(item)

    @guarded
    def returned(self, *result: Any) -> None:
        """Ends the span with the result, or with what was yielded."""
        if self._keeps_output and result:
            self._recording.set_output(result[0])
        self._end()

    @guarded
    def failed(self, error: BaseException) -> None:
        """Ends the span as failed."""
        self._recording.fail(error)
        self._end()

    def _end(self) -> None:
        if self._items is not None:
            self._recording.set_output(self._items.value)
        if self._state is not None:
            self._note_state("vedette.state_after")
        self._recording.end()

    @guarded
    def _note_state(self, name: str) -> None:
        if self._state is not None:
            self._recording.set(**{name: dump(self._state())})


@dataclass
class Items:
    """What a generator gave: texts as the one text that they make, anything else as a list."""

    budget: Frozen = field(default_factory=lambda: Frozen(nodes=NODES // 4))
    kept: list[Any] = field(default_factory=list)
    left_out: int = 0

    def add(self, item: Any) -> None:
        """Keeps one more while there is room."""
        if self.budget.chars > 0 and self.budget.nodes > 0:
            self.kept.append(self.budget.of(item))
        else:
            self.left_out += 1

    @property
    def value(self) -> Any:
        """All of them."""
        told = [*self.kept, f"[… cut: {self.left_out} more …]"] if self.left_out else self.kept
        return "".join(told) if all(type(one) is str for one in told) else told
