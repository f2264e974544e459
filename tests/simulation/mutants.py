"""Protections, each of which can be taken out: the checker has to notice every one.

Some are switches in the simulated processes (`world.has`), the others replace a function of ours.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import orjson

from schemas.rule_state import Firing
from streams import normalise
from streams.logic import alert_changes, fold, plan, window
from tests.simulation.world import World

SWITCHES = (
    "commit_before_process",
    "no_view_dedup",
    "offset_before_state",
    "mark_sent_before_send",
    "drop_on_429",
    "poison_crashes_loop",
    "poison_dropped_silently",
    "ack_before_produce",
    "commit_past_in_flight",
    "timeout_unrecorded",
)


def _no_seen_ids(_: World) -> Any:
    return patch.object(window.Window, "__contains__", lambda *_: False)


def _random_alert_id(world: World) -> Any:
    return patch.object(alert_changes, "firing_id", lambda *_: f"{world.random.getrandbits(128):032x}")


def _random_sampling(world: World) -> Any:
    return patch.object(plan, "keep", lambda *_: world.random.random() < 0.8)


def _cooldown_by_wall_clock(world: World) -> Any:
    """A firing is remembered by when it was folded."""

    def firing(**told: Any) -> Firing:
        return Firing(**{**told, "at": world.now})

    return patch.object(fold, "Firing", firing)


def _cooldown_set_on_suppress(_: World) -> Any:
    """What is kept quiet keeps quiet for longer."""
    own = fold._Fold._consequence

    def consequence(self: Any, evaluated: Any, entry: Any, cause: str) -> str:
        done = own(self, evaluated, entry, cause)
        if done == "suppressed":
            self.firings.append(Firing(at=entry[0], firing_id=f"quiet {entry[1].hex()}"))
        return done

    return patch.object(fold._Fold, "_consequence", consequence)


def _rule_on_client_clock(_: World) -> Any:
    own = normalise.chunks

    def chunks(body: bytes, project: str, ingested_at: int, *further: Any) -> Any:
        if not body.startswith(b"{"):
            return own(body, project, ingested_at, *further)
        (resource,) = orjson.loads(body)["resourceSpans"]
        told = int(resource["scopeSpans"][0]["spans"][0]["startTimeUnixNano"]) // 1_000_000
        return own(body, project, told, *further)

    return patch.object(normalise, "chunks", chunks)


REPLACED: dict[str, Callable[[World], Any]] = {
    "no_seen_ids": _no_seen_ids,
    "random_alert_id": _random_alert_id,
    "random_sampling": _random_sampling,
    "cooldown_by_wall_clock": _cooldown_by_wall_clock,
    "cooldown_set_on_suppress": _cooldown_set_on_suppress,
    "rule_on_client_clock": _rule_on_client_clock,
}
MUTANTS = (*SWITCHES, *REPLACED)


@contextmanager
def taken_out(world: World) -> Iterator[None]:
    """Takes the protections of a world's mutants out for as long as it runs."""
    with ExitStack() as stack:
        for name in world.mutants & REPLACED.keys():
            stack.enter_context(REPLACED[name](world))
        yield
