"""Which Vedette a command talks to: the local stack of a data directory, or a remote one by `VEDETTE_*` variables."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import completion
from streams.cli.client import Client
from streams.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from streams.settings import Settings

DEFAULT_DATA_DIR = Path(".vedette")

DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="VEDETTE_DATA_DIR", help="of the local stack (default .vedette)", show_default=False),
]  # fmt: skip
ProjectOption = Annotated[
    str | None,
    typer.Option(
        "--project", "-p", help="default: the key's only project, else default", autocompletion=completion.projects
    ),
]
OutputOption = Annotated[str, typer.Option("--output", "-o", help="table, json or yaml")]

NOTHING_HERE = (
    "there is no Vedette to talk to: {data_dir} holds no stack. Start one with `vedette up`, name another with --data-dir, "
    "or set VEDETTE_API_URL and VEDETTE_ADMIN_KEY"
)
NO_KAFKA = (
    "there is no Kafka to talk to: {data_dir} holds no stack. Start one with `vedette up`, name another with --data-dir, "
    "or set VEDETTE_BOOTSTRAP_SERVERS (and VEDETTE_CLICKHOUSE_URL)"
)


def api(data_dir: Path | None, environ: Mapping[str, str] = os.environ) -> Client:
    """Returns a client of the remote api that the environment names completely, else of the local one.

    Raises:
        Failure: there is neither.

    """
    url, key = environ.get("VEDETTE_API_URL"), _secret("VEDETTE_ADMIN_KEY", environ)
    if url and key:
        return Client(url, key)
    here = data_dir or DEFAULT_DATA_DIR
    found = _local(here)
    if found is None:
        missing = "; VEDETTE_API_URL is set, VEDETTE_ADMIN_KEY is not" if url else ""
        raise Failure(NOTHING_HERE.format(data_dir=here) + missing)
    return Client(found[0], found[1])


def _secret(name: str, environ: Mapping[str, str]) -> str | None:
    file = environ.get(f"{name}_FILE")
    try:
        return environ.get(name) or (Path(file).read_text().strip() if file else None)
    except OSError as error:
        raise Failure(f"{name}_FILE cannot be read: {error}") from error


def _local(data_dir: Path) -> tuple[str, str] | None:
    from streams.local.datadir import DataDir
    from streams.local.facts import ADMIN_KEY, facts

    known, key = facts(DataDir(data_dir)), data_dir / ADMIN_KEY
    return None if known is None or not key.exists() else (known.api, key.read_text().strip())


def settings(data_dir: Path | None) -> "Settings":
    """Returns the settings of a command that works on Kafka or ClickHouse itself: the environment's, else the local stack's.

    Raises:
        Failure: neither names a Kafka, or a variable is wrong.

    """
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # stdout is for data
    if not os.environ.get("VEDETTE_BOOTSTRAP_SERVERS"):
        from streams.local.datadir import DataDir
        from streams.local.facts import facts

        here = data_dir or DEFAULT_DATA_DIR
        known = facts(DataDir(here))
        if known is None:
            raise Failure(NO_KAFKA.format(data_dir=here))
        os.environ["VEDETTE_BOOTSTRAP_SERVERS"] = known.kafka
        os.environ.setdefault("VEDETTE_CLICKHOUSE_URL", known.clickhouse_url)
        os.environ.setdefault("VEDETTE_CLICKHOUSE_DATABASE", known.clickhouse_database)
        os.environ.setdefault("VEDETTE_TOPIC_PREFIX", known.topic_prefix)
        os.environ.setdefault("VEDETTE_PARTITIONS", "4")
    return from_environment()


def use_local_stack(data_dir: Path | None) -> None:
    """Tells this process by `VEDETTE_*` variables where the local stack answers, unless they name another; its admin key included."""
    from streams.local.datadir import DataDir
    from streams.local.facts import ADMIN_KEY, facts

    here = data_dir or DEFAULT_DATA_DIR
    known = facts(DataDir(here))
    if os.environ.get("VEDETTE_BOOTSTRAP_SERVERS") or known is None:
        return
    settings(data_dir)
    os.environ.setdefault("VEDETTE_WATCH_URL", known.otlp_http)
    os.environ.setdefault("VEDETTE_API_URL", known.api)
    os.environ.setdefault("VEDETTE_PUBLIC_URL", known.api)
    os.environ.setdefault("VEDETTE_ADMIN_KEY_FILE", str(here / ADMIN_KEY))


def from_environment() -> "Settings":
    """Returns the settings that the environment gives.

    Raises:
        Failure: a variable is wrong; the text names it.

    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from streams.settings import load

    try:
        return load()
    except ValidationError as error:
        lines = [f"VEDETTE_{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise Failure("; ".join(lines), USAGE) from error
    except (SettingsError, OSError) as error:
        raise Failure(str(error), USAGE) from error


def told(work: Callable[[], Any], *known: type[Exception]) -> Any:
    """Returns the result of `work`; the kinds of failure that are known become one sentence."""
    try:
        return work()
    except known as error:
        raise Failure(sentence(error)) from error


def sentence(error: Exception) -> str:
    """Returns what an exception says; Kafka's wrap an object that says it."""
    first = error.args[0] if error.args else error
    text = getattr(first, "str", None)
    return str(text()) if callable(text) else str(error)
