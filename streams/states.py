"""The states of one partition: all of them as the bytes of the changelog, those in use also as objects, and which of them a tick may move.

A hundred thousand groups are a hundred megabytes this way, and a tick looks at those whose time has come. Everything but the bytes is
computed anew when a partition has come.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import orjson

from schemas.codec import encode
from schemas.rule_state import RuleState
from streams.logic.due import Due
from streams.logic.rules import RuleVersion
from streams.logic.silence import Quiet, due_at, quiet, ticks_told

IN_USE = 2000
"""So many states stay as objects, of which the newest ones were used."""

FindRule = Callable[[str, str], RuleVersion | None]
Rule = tuple[str, str]
"""Project and name."""


class States:
    """The states of one partition by the key of their rule and group."""

    def __init__(self, decode: Callable[[bytes], RuleState]) -> None:
        self._decode = decode
        self._packed: dict[bytes, bytes] = {}
        self._in_use: dict[bytes, RuleState] = {}
        self._quiet: dict[bytes, Quiet] = {}
        self._of_rule: dict[Rule, set[bytes]] = defaultdict(set)
        self._due, self._moved = Due(), set[bytes]()
        self._versions: dict[Rule, RuleVersion | None] = {}
        self._told: list[tuple[int, bytes]] = []
        """Ticks of before this worker had the partition, with the keys that they moved; the oldest stands last."""

    def __len__(self) -> int:
        return len(self._quiet)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._quiet)

    def get(self, key: bytes) -> RuleState | None:
        """Returns a state, or None."""
        state = self._in_use.get(key)
        if state is None and key in self._packed:
            state = self._in_use[key] = self._decode(self._packed[key])
        return state

    def restore(self, packed: Iterable[tuple[bytes, bytes]]) -> None:
        """Takes states as they stand on the changelog, and what ticks have told of them: those ticks may be met again."""
        for key, value in packed:
            state = self._decode(value)
            self._packed[key] = value
            self._note(key, state)
            self._told += [(at, key) for at in ticks_told(state)]
        self._told.sort(reverse=True)

    def keep(self, key: bytes, state: RuleState | None) -> None:
        """Takes the new state of a key; None forgets it."""
        if state is not None:
            self._in_use[key] = state
            self._note(key, state)
            return
        for held in (self._packed, self._in_use, self._quiet):
            held.pop(key, None)
        self._of_rule[_rule(key)].discard(key)

    def _note(self, key: bytes, state: RuleState) -> None:
        if key not in self._quiet:
            self._of_rule[_rule(key)].add(key)
        self._quiet[key] = quiet(state)
        self._moved.add(key)

    def packed(self, keys: Iterable[bytes]) -> list[tuple[bytes, bytes | None]]:
        """Returns states as they go to the changelog, None for those that were forgotten. They stay here in this form."""
        found = [(key, encode(self._in_use[key]) if key in self._quiet else None) for key in keys]
        self._packed.update((key, value) for key, value in found if value is not None)
        surplus = len(self._in_use) - IN_USE
        for key in list(self._in_use)[:surplus] if surplus > 0 else ():
            del self._in_use[key]
        return found

    def due(self, now: int, find: FindRule) -> list[bytes]:
        """Returns the keys that a tick at this time may move; `find` returns the rules as they are then.

        They are expected anew at the next tick, with those whose state or rule has changed until then.
        """
        versions = {rule: find(*rule) for rule, keys in self._of_rule.items() if keys}
        edited = [rule for rule in versions if rule not in self._versions or versions[rule] != self._versions[rule]]
        moved = self._moved.union(*(self._of_rule[rule] for rule in edited))
        for key in moved & self._quiet.keys():
            self._due.expect(key, due_at(versions[_rule(key)], self._quiet[key]))
        taken = [*self._due.take(now), *self._met_again(now)]
        self._versions, self._moved = versions, set(taken)
        return [key for key in dict.fromkeys(taken) if key in self._quiet]

    def _met_again(self, now: int) -> Iterator[bytes]:
        while self._told and self._told[-1][0] <= now:
            yield self._told.pop()[1]


def _rule(key: bytes) -> Rule:
    project, rule, _ = orjson.loads(key)
    return project, rule
