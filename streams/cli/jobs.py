"""One command a job: the unit that a cluster runs."""

import inspect
import os
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from streams.cli import context
from streams.cli.failure import USAGE, Failure

JOBS = {
    "bridge": ("streams.bridge.job", "Takes OTLP and examples in over HTTP and gRPC and puts them on Kafka."),
    "normalise": ("streams.normalise", "Turns raw OTLP into canonical spans, by trace."),
    "complete": (
        "streams.complete",
        "Puts together what comes in parts: traces, content in log events, conditions of one trace.",
    ),
    "sample": ("streams.sample", "Decides which subjects are scored, and by which scorers."),
    "score": ("streams.score", "Runs scorers of one or more classes."),
    "runner": ("streams.runner", "Runs uploaded scorers in sandboxes, and builds them."),
    "later": ("streams.later", "Lets go what waits for a scorer, or for another try."),
    "match": ("streams.match", "Asks of every span and score which rules it satisfies."),
    "count": ("streams.count", "Counts matches in windows and opens, renews and resolves alerts."),
    "deliver": ("streams.deliver", "Tells people about alerts."),
    "store": ("streams.store", "Writes everything to ClickHouse."),
    "api": ("streams.api.job", "Answers the HTTP API; the only writer of configuration."),
    "watch": ("streams.watch.job", "Sends a canary through every stage and pages when one does not let it through."),
}
CLASSES = ("code", "judge")

FLAGS = {
    "bootstrap_servers": "Kafka brokers, comma separated",
    "topic_prefix": "stands before every topic and consumer group",
    "clickhouse_url": "http(s)://user:password@host:port",
    "clickhouse_database": "name of the database",
    "host": "address that everything of the job listens on",
    "metrics_port": "/livez, /readyz and /metrics; 0: none",
    "otlp_http_port": "of the bridge",
    "otlp_grpc_port": "of the bridge, OTLP over gRPC; 0: none",
    "api_port": "of the api",
    "runner_port": "of the runner, for the api alone; 0: none",
    "runner_url": "where the runner job answers the api",
    "api_url": "where the api job answers",
    "public_url": "begins the links in alerts",
    "bootstrap_admin_key_file": "holds the first admin key of an installation",
    "smtp_url": "smtp://user:password@host:port?tls=starttls",
    "log_level": "DEBUG, INFO, WARNING or ERROR",
    "log_json": "false: for people",
}
"""Settings that are flags too; all settings are `VEDETTE_*` variables."""


def command_of(group: str) -> str:
    """Returns the command that starts a process for a consumer group without the installation's prefix.

    >>> command_of("score-code-judge"), command_of("store-spans")
    ('score --class code,judge', 'store')
    """
    job, _, rest = group.partition("-")
    return f"score --class {rest.replace('-', ',')}" if job == "score" and rest else job


def register(app: typer.Typer) -> None:
    """Adds a command for every job."""
    for name, (module, does) in JOBS.items():
        app.command(name, help=does, rich_help_panel="Jobs")(_command(name, module))


def _command(name: str, module: str) -> Callable[..., None]:
    def run(**flags: Any) -> None:
        classes = _classes(flags.pop("class_", None))
        if name == "watch":
            context.use_local_stack(flags.pop("data_dir"))
        for flag, value in flags.items():
            if value is not None:
                os.environ[f"VEDETTE_{flag.upper()}"] = value
        settings = context.from_environment()
        main = import_module(module).main
        main(settings) if classes is None else main(settings, tuple(classes))

    own = {"score": [_CLASS], "watch": [_DATA_DIR]}.get(name, [])
    run.__signature__ = inspect.Signature([*_flags(), *own])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run


def _flags() -> list[inspect.Parameter]:
    return [_parameter(name, f"--{name.replace('_', '-')}", about, None) for name, about in FLAGS.items()]


def _parameter(name: str, option: str, about: str, default: str | None) -> inspect.Parameter:
    kind = Annotated[str | None, typer.Option(option, help=about, show_default=default is not None)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


_DATA_DIR = inspect.Parameter(
    "data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=context.DataDirOption
)
_CLASS = _parameter("class_", "--class", "classes of scorers, comma separated: code, judge", "code")


def _classes(text: str | None) -> list[str] | None:
    classes = None if text is None else [name for name in text.split(",") if name]
    unknown = [name for name in classes or () if name not in CLASSES]
    if unknown:
        raise Failure(f"--class {','.join(unknown)}: there are {', '.join(CLASSES)}", USAGE)
    return classes
