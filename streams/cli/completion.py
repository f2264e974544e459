"""What the shell completes: names that the api knows, if it answers at once, and the names of topics.

Typer's `--install-completion` and `--show-completion` write the script; the shell then calls `vedette` itself at every Tab.
"""

# ruff: noqa: PLC0415 - imported with every command: starting stays fast

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from streams.cli.failure import Failure

WITHIN_S = 1.0
"""A Tab waits no longer."""
READABLE = (
    "spans", "examples", "score-requests.code", "score-requests.hosted", "score-requests.judge", "score-later", "scores",
    "rule-events", "alerts", "deliveries", "dataset-items",
)  # fmt: skip
"""What `vedette tail` takes: topics without `vedette.`."""
OUTCOMES = ("pass", "fail", "scored", "error", "skipped")


def readable(incomplete: str) -> list[str]:
    """Returns the topics that can be followed."""
    return _beginning(READABLE, incomplete)


def origins(incomplete: str) -> list[str]:
    """Returns the topics that a dead letter may come from."""
    return _beginning(("otlp_spans", "otlp_logs", *(f"vedette.{name}" for name in READABLE)), incomplete)


def outcomes(incomplete: str) -> list[str]:
    """Returns the outcomes of scores."""
    return _beginning(OUTCOMES, incomplete)


def projects(ctx: typer.Context, incomplete: str) -> list[str]:
    """Returns the projects that exist."""
    return _beginning(_asked(ctx, lambda api: api.get("/api/v1/status")["projects"]), incomplete)


def scorers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Returns the scorers that are configured."""
    project = ctx.params.get("project")
    found = _asked(ctx, lambda api: api.get("/api/v1/scorers", project=project)["scorers"])
    return _beginning(sorted({one["name"] for one in found}), incomplete)


def rules(ctx: typer.Context, incomplete: str) -> list[str]:
    """Returns the rules that are configured."""
    return _beginning(_documents(ctx, "Rule"), incomplete)


def _documents(ctx: typer.Context, kind: str) -> list[str]:
    project = ctx.params.get("project")
    found = _asked(ctx, lambda api: api.get("/api/v1/documents", kind=kind, project=project)["documents"])
    return sorted({one["document"]["metadata"]["name"] for one in found})


def _asked(ctx: typer.Context, ask: Callable[[Any], list[Any]]) -> list[Any]:
    """An api that is away completes nothing: whoever presses Tab wants no sentence."""
    from streams.cli import context

    given = ctx.params.get("data_dir")
    try:
        return ask(context.api(Path(given) if given else None).within(WITHIN_S))
    except (Failure, OSError, ValueError):
        return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Bash puts in the text as it is given: there a name with blanks would become several words."""
    found = [name for name in names if name.startswith(incomplete)]
    return [_SPECIAL.sub(r"\\\g<0>", name) for name in found] if _of_bash() else found


def _of_bash() -> bool:
    return os.environ.get("_VEDETTE_COMPLETE") == "complete_bash"


_SPECIAL = re.compile(r"[^\w@%+=:,./-]")
