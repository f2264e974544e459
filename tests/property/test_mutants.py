"""Each protection of the fold is taken away in turn: the checks of random logs must notice."""

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from schemas.rule_state import Firing
from streams.logic import alert_changes, commands, fold, frequency, rate, silence
from streams.logic.fold import _Fold
from streams.logic.frequency import Frequency
from streams.logic.rate import Rate, Sample
from streams.logic.window import Window
from tests.support import checks
from tests.support.rule_logs import Writer

SEEDS = 400
Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]


def violated(seeds: int) -> str:
    """Returns what the first log that breaks a check breaks, or nothing."""
    for seed in range(seeds):
        choose = Random(seed)
        sample = choose.choice((2, 3, 1000))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rate, "SAMPLE", sample)
            log = Writer(choose).write()
            for check in (lambda: checks.agrees(log, sample), lambda: checks.survives_a_crash(log, choose)):  # noqa: B023
                try:
                    check()
                except AssertionError as error:
                    return str(error) or "violated"
    return ""


def wrapped(owner: Any, name: str, after: Callable[..., Any]) -> Mutant:
    """A mutant that does something with the result of a function and its arguments."""
    original = getattr(owner, name)

    def mutate(patch: Patch) -> None:
        patch.setattr(owner, name, lambda *given, **named: after(original(*given, **named), *given))

    return mutate


def put(owner: Any, name: str, instead: Any) -> Mutant:
    return lambda patch: patch.setattr(owner, name, instead)


def on_append_time(patch: Patch) -> None:
    original = fold.step

    def step(rule: Any, state: Any, event: Any, at: Any) -> Any:
        moved = [one.model_copy(update={"ingested_at": at.appended_at}) for one in event.evaluated]
        return original(rule, state, event.model_copy(update={"evaluated": tuple(moved)}), at)

    patch.setattr(fold, "step", step)


def cooldown_by_the_wall(patch: Patch) -> None:
    original = _Fold._consequence

    def consequence(self: Any, evaluated: Any, entry: Any, cause: str) -> str:
        self.form.moment = lambda _: self.at.appended_at
        return original(self, evaluated, entry, cause)

    patch.setattr(_Fold, "_consequence", consequence)


def longer_cooldown(result: str, self: Any, _: Any, entry: Any, __: str) -> str:
    if result == "suppressed" and self.firings:
        self.firings[-1] = Firing(at=max(entry[0], self.firings[-1].at), firing_id=self.firings[-1].firing_id)
    return result


def emptied(result: str, self: Any, *_: Any) -> str:
    self.form.clear()
    return result


def kept_suppressed(result: str, self: Any, *_: Any) -> str:
    self.suppressed = result.count("r") + self.before.suppressed
    return result


def not_cleared(patch: Patch) -> None:
    def clear(self: Any) -> None:
        self.window_since, self.changed = self.rule.window_since, True

    patch.setattr(_Fold, "_clear_window", clear)


def unguarded(patch: Patch) -> None:
    original = silence.tick

    def tick(rule: Any, state: Any, at: Any) -> Any:
        now = replace(at, appended_at=max(at.appended_at, state.ticked_at + 1))
        return original(rule, state, now)

    patch.setattr(silence, "tick", tick)


def without_floor(patch: Patch) -> None:
    original = Rate.refused
    patch.setattr(Rate, "refused", lambda self, *given: original(self, *given).replace("too late", ""))


def unbroken(*, below: bool) -> Mutant:
    original = Rate.add

    def add(self: Any, *given: Any) -> bool:
        held_since = self.held_since
        original(self, *given)
        if held_since and bool(self.held_since) != below:
            self.held_since = held_since
        return True

    return put(Rate, "add", add)


MUTANTS: dict[str, Mutant] = {
    "a subject seen before counts again": put(Window, "__contains__", lambda *_: False),
    "alerts have random ids": put(alert_changes, "firing_id", lambda *_: os.urandom(16).hex()),
    "the cooldown goes by the wall": cooldown_by_the_wall,
    "a suppressed match extends the cooldown": wrapped(_Fold, "_consequence", longer_cooldown),
    "time is the append time": on_append_time,
    "nothing is sent again": put(alert_changes, "sent_before", lambda *_: ()),
    "the outbox keeps one change": put(alert_changes, "outbox_kept", lambda outbox, *_: tuple(outbox[-1:])),
    "the window is closed": wrapped(Frequency, "_filled", lambda window, *_: window.__setattr__("_length", window._length + 1) or window),
    "a firing empties the window": wrapped(_Fold, "_fire", emptied),
    "what was suppressed is told twice": wrapped(_Fold, "_fire", kept_suppressed),
    "late is too late": put(frequency, "LATENESS_MS", 0),
    "an edit of the conditions keeps the window": not_cleared,
    "resolving ends the cooldown": wrapped(commands, "_moves", lambda moves, *_: {**moves, "firings": ()}),
    "a command resolves whatever is open": put(commands, "refused", lambda alert, _: "" if alert else "not open"),
    "a command is not known again": put(commands, "_noted", lambda state, *_: state),
    "a renotified alert is not acknowledged any more": wrapped(
        alert_changes, "opened", lambda alert, *_: alert.model_copy(update={"state": "firing"})
    ),
    "a renotified alert forgets its snooze": wrapped(alert_changes, "opened", lambda alert, *_: alert.model_copy(update={"until": 0})),
    "silence is a millisecond shorter": wrapped(silence, "due_at", lambda at, *_: at - 1),
    "a tick acts twice": unguarded,
    "no traffic is told of every five seconds": wrapped(silence, "quiet", lambda known, *_: known._replace(fired_at=0)),
    "a tick forgets a group that is heard": wrapped(silence, "due_at", lambda at, _, state: at if state.open else min(at, state.folded_at + 60_000)),
    "a share counts matches only": wrapped(Rate, "refused", lambda why, _, __, matched: why if matched else "duplicate"),
    "a later match of a subject does not count": wrapped(
        Rate, "refused", lambda why, self, entry, _: "duplicate" if self._sample.matched(entry[1]) is not None else why
    ),
    "the sample is the largest hashes": put(
        Sample, "counts", lambda self: (self._matched.count(1, max(0, len(self._matched) - rate.SAMPLE)), min(len(self._matched), rate.SAMPLE))
    ),
    "the sample takes what it had to drop": put(Sample, "wants", lambda *_: True),
    "a rate takes what has left its window": without_floor,
    "a gap does not end what is sustained": wrapped(Window, "held_since", lambda since, self, *_: since and self._entries[0][0]),
    "a look below the share does not end a sustained rate": unbroken(below=True),
    "an empty window does not end a sustained rate": unbroken(below=False),
}  # fmt: skip


def test_the_fold_as_it_is_violates_nothing() -> None:
    assert violated(60) == ""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_checks_notice_when(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    assert violated(SEEDS)
