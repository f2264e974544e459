"""`vedette run` and `vedette env`: the variables by which a program reports here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from vedette.address import Address, find, project_header
from vedette.local import stack

NAMES = ("VEDETTE_API_URL", "VEDETTE_API_KEY", "JUDGMENT_API_URL", "JUDGMENT_API_KEY", "JUDGMENT_ORG_ID")


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Becomes a program that reports to a project; returns only when it cannot be started: 1, or 2 when nothing was asked for."""
    parser = argparse.ArgumentParser(
        "vedette run",
        usage="vedette run -p PROJECT [--data-dir DIR] -- CMD…",
        description="Runs a program that reports here, through Vedette's SDK or any of OpenTelemetry's. It adds no instrumentation.",
    )
    parser.add_argument("-p", "--project", default=environ.get("VEDETTE_PROJECT") or "default")
    parser.add_argument("--data-dir", default=environ.get("VEDETTE_DATA_DIR") or ".vedette", help="of a local stack")
    before, command = _parted(arguments)
    asked = parser.parse_args(before)
    if not command:
        parser.error("name the command after `--`, as in: vedette run -p shop -- python app.py")
    address = find(None, None, environ) or _local(asked.data_dir, environ)
    if address is None:
        print(
            "it is not known where to report: set VEDETTE_API_URL and VEDETTE_API_KEY (`vedette up` prints them), or start a stack: `vedette up`",
            file=sys.stderr,
        )
        return 1
    try:
        os.execvpe(command[0], list(command), {**environ, **variables(address, asked.project, environ)})  # noqa: S606
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 1


def env(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Prints the variables by which an agent reports here, as a shell takes them: those that are set, else a local stack's; 1 without any."""
    parser = argparse.ArgumentParser("vedette env", description="Prints the variables by which an agent reports here.")
    parser.add_argument("--data-dir", default=environ.get("VEDETTE_DATA_DIR") or ".vedette", help="of a local stack")
    asked = parser.parse_args(arguments)
    told = {name: environ[name] for name in NAMES if environ.get(name)}
    if not told and (address := _local(asked.data_dir, environ)) is not None:
        told = {"VEDETTE_API_URL": address.base, "VEDETTE_API_KEY": address.key}
    for name, value in told.items():
        print(f"export {name}={_quoted(value)}")
    if not told:
        print(
            "none of the variables is set and no stack runs here: set VEDETTE_API_URL and VEDETTE_API_KEY, or start one: `vedette up`, which prints them",
            file=sys.stderr,
        )
    return 0 if told else 1


def variables(address: Address, project: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns what a child process needs to report to a project, whichever SDK it uses.

    What its environment says about metrics and about its service's name stays.
    """
    headers = {**address.headers, **project_header(project)}
    told = {
        "VEDETTE_PROJECT": project,
        "OTEL_EXPORTER_OTLP_ENDPOINT": address.base,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": address.traces_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": ",".join(f"{name}={quote(value)}" for name, value in headers.items()),
        "OTEL_SERVICE_NAME": environ.get("OTEL_SERVICE_NAME") or project,
        "OTEL_METRICS_EXPORTER": environ.get("OTEL_METRICS_EXPORTER") or "none",
    }
    if address.family != "JUDGMENT_API_*":
        told |= {"VEDETTE_API_URL": address.base, "VEDETTE_API_KEY": address.key}
    return told


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    given = list(arguments)
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at + 1 :]


def _local(data_dir: str, environ: Mapping[str, str]) -> Address | None:
    found = stack(data_dir, environ, "ingest")
    return None if found is None else find(*found, {})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
