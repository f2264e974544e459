"""`up`, `down`, `status`: the whole system on one machine."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.client import ApiError, Client
from streams.cli.context import DEFAULT_DATA_DIR, DataDirOption, sentence
from streams.cli.failure import Failure
from streams.cli.output import table, talk
from streams.local.datadir import DataDir, DataDirError
from streams.local.facts import ADMIN_KEY, Facts, facts, keep_not_ready
from streams.local.facts import status as stack_status

READY_WITHIN_S = 300.0
GONE_WITHIN_S = 20.0
ASK_WITHIN_S = 3.0


def up(
    demo: Annotated[bool, typer.Option("--demo", help="with an agent, and stand-ins for Slack and mail")] = False,  # noqa: FBT002
    detach: Annotated[bool, typer.Option("--detach", help="return when everything is ready")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
    host: Annotated[str, typer.Option(help="what the bridge and the api listen on")] = "127.0.0.1",
    otlp_http_port: Annotated[int, typer.Option(help="OTLP, examples and api; 0: a free one, kept")] = 4318,
    otlp_grpc_port: Annotated[int, typer.Option(help="OTLP over gRPC; 0: a free one, kept")] = 4317,
    api_port: Annotated[int, typer.Option(help="of the api; 0: a free one, kept")] = 8787,
    kafka_port: Annotated[int, typer.Option(help="0: a free one, kept")] = 0,
    clickhouse_port: Annotated[int, typer.Option(help="0: a free one, kept")] = 0,
    bootstrap_servers: Annotated[str | None, typer.Option(help="use this Kafka instead of starting one")] = None,
    clickhouse_url: Annotated[str | None, typer.Option(help="use this ClickHouse instead of starting one")] = None,
) -> None:
    """Starts the whole system on this machine; Ctrl-C stops it."""
    here = data_dir or DEFAULT_DATA_DIR
    if detach:
        _detached(here)
        return
    from streams.local import up as local_up

    options = local_up.Options(
        data_dir=here, demo=demo, host=host, otlp_http_port=otlp_http_port, otlp_grpc_port=otlp_grpc_port,
        api_port=api_port, kafka_port=kafka_port, clickhouse_port=clickhouse_port,
        bootstrap_servers=bootstrap_servers, clickhouse_url=clickhouse_url,
    )  # fmt: skip
    try:
        local_up.run(options, show=typer.echo, tell=talk)
    except local_up.KNOWN as error:
        raise Failure(sentence(error)) from error


def _detached(here: Path) -> None:
    """Starts the same command once more, without --detach and without a terminal, and waits for it."""
    data = DataDir(here)
    if (holder := data.holder()) is not None:
        raise Failure(
            f"process {holder} is running on {here}: stop it with `vedette down`, or choose another --data-dir"
        )
    try:
        data.create()
    except DataDirError as error:
        raise Failure(str(error)) from error
    keep_not_ready(data)
    said = data.logs / "up.log"
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    with said.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "streams.cli", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
        )  # fmt: skip  # its stdout is the variables for agents, key included: those are ours to print, no log's to keep
    try:
        known = _await_ready(data, process, said)
    except BaseException:
        process.terminate()
        raise
    from streams.local.environment import environment_text

    typer.echo(environment_text(known, data))
    talk(f"ready: process {process.pid}, data and logs in {here}; `vedette status`, `vedette down`")


def _await_ready(data: DataDir, process: "subprocess.Popen[bytes]", said: Path) -> Facts:
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        known = facts(data)
        if known is not None and known.ready:
            return known
        time.sleep(0.1)
    text = said.read_text(errors="replace").strip()
    raise Failure(text[-3000:] or f"the stack ended with {process.returncode}; see {data.logs}")


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="also delete its data")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
) -> None:
    """Stops the system of a data directory."""
    data = DataDir(data_dir or DEFAULT_DATA_DIR)
    holder = data.holder()
    if holder is None:
        talk(f"nothing runs on {data.path}")
    else:
        _stop(data, holder)
    if wipe:
        try:
            data.wipe()
        except DataDirError as error:
            raise Failure(str(error)) from error
        talk(f"{data.path} is deleted")


def _stop(data: DataDir, holder: int) -> None:
    os.kill(holder, signal.SIGTERM)
    deadline = time.monotonic() + GONE_WITHIN_S
    while data.holder() is not None:
        if time.monotonic() > deadline:
            raise Failure(f"process {holder} has not ended within {GONE_WITHIN_S:.0f} s; see {data.logs}")
        time.sleep(0.05)
    talk("stopped")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
) -> None:
    """Tells the state of the system of a data directory."""
    from streams.local.stack import recorded

    data = DataDir(data_dir or DEFAULT_DATA_DIR)
    processes = recorded(data)["processes"]
    asked = _asked(data)
    told = stack_status(data, processes, _lags(asked.get("jobs", {}), processes) if asked else {})
    if "waiting" in asked:
        told["waiting"] = asked["waiting"]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(f"state  {told['state']}")
    for name, where in {**told.get("endpoints", {}), "clickhouse": told.get("clickhouse", {}).get("url")}.items():
        if where:
            typer.echo(f"{name:<10} {where}")
    if told["jobs"]:
        table([{"job": name, **job} for name, job in told["jobs"].items()], ("job", "state", "pid", "restarts", "lag"))
    if told.get("waiting"):
        typer.echo("evaluations that wait")
        table(told["waiting"], ("project", "scorer", "evaluations", "reason"))


PROCESS_OF = {"score-judge": "judge"}
"""Groups whose process in the stack is not called by their first word."""


def _asked(data: DataDir) -> dict[str, Any]:
    """What the api tells; nothing when it does not answer at once."""
    known, key = facts(data), data.path / ADMIN_KEY
    if known is None or not known.ready or data.holder() is None or not key.exists():
        return {}
    try:
        told: dict[str, Any] = Client(known.api, key.read_text().strip(), ASK_WITHIN_S).get("/api/v1/status")
    except ApiError:
        return {}
    return told


def _lags(jobs: Mapping[str, Any], processes: Iterable[str]) -> dict[str, int]:
    lags = dict.fromkeys(processes, 0)
    for group, job in jobs.items():  # a job may have several groups: score-code, store-spans
        name = PROCESS_OF.get(group, group.partition("-")[0])
        lags[name] = lags.get(name, 0) + job["lag"]
    return lags
