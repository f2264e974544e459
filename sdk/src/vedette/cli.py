"""The `vedette` command. The SDK brings `env`; what the pipeline brings is found by the entry-point group `vedette.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

from vedette import __version__

GROUP = "vedette.commands"
NAMES = ("VEDETTE_API_URL", "VEDETTE_API_KEY", "JUDGMENT_API_URL", "JUDGMENT_API_KEY", "JUDGMENT_ORG_ID")
WITHOUT_PIPELINE = (
    "this machine has only Vedette's SDK, which knows `vedette env`; `{command}` comes with the pipeline: install the distribution "
    "`vedette-pipeline` from Vedette's repository beside it"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: the SDK's own, or one of whatever is installed beside it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"vedette {__version__}")
        return 0
    if given[:1] == ["env"]:
        return env(given[1:], os.environ)
    for found in entry_points(group=GROUP):
        found.load()(given, prog_name="vedette")  # ends the process with its exit code
        return 0
    return _alone(given)


def env(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Prints the variables by which an agent reports here, as a shell takes them; 1 when none is set."""
    parser = argparse.ArgumentParser("vedette env", description="Prints the variables by which an agent reports here.")
    parser.parse_args(arguments)
    found = [name for name in NAMES if environ.get(name)]
    for name in found:
        print(f"export {name}={_quoted(environ[name])}")
    if not found:
        print(
            "none of the variables is set: VEDETTE_API_URL and VEDETTE_API_KEY; `vedette up` prints them",
            file=sys.stderr,
        )
    return 0 if found else 1


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _alone(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("vedette", description="Vedette for the author of an agent.")
    parser.add_argument("--version", action="version", version=f"vedette {__version__}")
    parser.add_argument("command", nargs="?", help="env: the variables by which an agent reports here")
    known, _ = parser.parse_known_args(given)
    if known.command is None:
        parser.print_help()
        return 0
    print(WITHOUT_PIPELINE.format(command=f"vedette {known.command}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
