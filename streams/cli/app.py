"""The Typer application behind `vedette`: every module of commands imports what it needs when it runs, so that starting is fast."""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from streams.cli import (
    alerts,
    configuration,
    datasets,
    destinations,
    dlq,
    doctor,
    jobs,
    kafka,
    keys,
    local,
    rules,
    scorers,
    silences,
    tail,
    tries,
    why,
)
from streams.cli.failure import Failure


class Commands(TyperGroup):
    """Turns a `Failure` into a sentence on stderr and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            typer.secho(str(failure), err=True, fg="red" if _colourful() else None)
            raise typer.Exit(failure.code) from failure
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the reader left; nothing more is to be told
            raise typer.Exit(0) from None


def _colourful() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, pretty_exceptions_enable=False, add_completion=False, invoke_without_command=True)


def _help(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


app = typer.Typer(
    name="vedette",
    help="Watches AI agents in production.",
    epilog="From the SDK: vedette run, vedette env, vedette upload_scorer, vedette --version.",
    cls=Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
app.callback()(_help)

Command = Callable[..., None]

PANELS: dict[str, tuple[Command, ...]] = {
    "The system on one machine": (local.up, local.down, local.status),
    "Configuration": (
        configuration.apply,
        configuration.diff,
        configuration.get,
        configuration.delete,
        configuration.schema,
    ),
    "Operations": (doctor.doctor, why.why, rules.audit, destinations.send_test, kafka.topics, kafka.migrate, tail.tail),
}
GROUPS: dict[str, tuple[str, dict[str, Command]]] = {
    "scorers": (
        "What judges, uploaded or built in.",
        {
            "ls": scorers.ls,
            "show": scorers.show_one,
            "diff": scorers.diff,
            "disable": scorers.disable,
            "enable": scorers.enable,
            "delete": scorers.delete,
            "try": tries.try_once,
        },
    ),
    "keys": ("API keys.", {"create": keys.create, "ls": keys.ls, "revoke": keys.revoke}),
    "alerts": ("Alerts.", {"ls": alerts.ls, "ack": alerts.ack, "resolve": alerts.resolve, "snooze": alerts.snooze}),
    "rules": ("Rules.", {"ls": rules.ls, "test": rules.run_tests, "backtest": rules.backtest}),
    "silences": (
        "Alerts that nobody is told about for a while.",
        {"ls": silences.ls, "create": silences.create, "expire": silences.expire},
    ),
    "datasets": ("What rules and people collected.", {"ls": datasets.ls, "export": datasets.export}),
    "dlq": ("Dead letters: what could not be handled.", {"ls": dlq.ls, "show": dlq.show_one, "replay": dlq.replay}),
}

for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
for name, (text, verbs) in GROUPS.items():
    group = _group(text)
    group.callback()(_help)
    for verb, function in verbs.items():
        group.command(verb)(function)
    app.add_typer(group, name=name, rich_help_panel="Operations")

jobs.register(app)
