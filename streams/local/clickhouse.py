"""A genuine ClickHouse server on one machine, out of the `chdb-core` wheel, on loopback.

    python -m streams.local.clickhouse run DIR PORT [PATTERN…]      the server in the foreground; SIGTERM stops it

The wheel carries `clickhouse-local`, whose `SYSTEM START LISTEN` opens the real HTTP handlers; its options come from
`config.xml` of the working directory. There are two users, each with a password of its own in a file of `DIR`:
`vedette` may do everything, `vedette_read` may only SELECT from the databases that match one of the patterns
(`vedette` unless told otherwise; `t_*` is a prefix). Further users come from the files of `DIR/readers`, elements of
`users.xml`; this server cannot be told to read them again, so when they change the process starts anew. SIGTERM ends the process at once: parts are written atomically, so
that is as safe as a crash. Not for production: no replication, no asynchronous inserts.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from streams.local import pidlock
from streams.local.datadir import kept_secret
from streams.local.ports import LOOPBACK, kept_port
from streams.local.tether import tethered

PORT_OPTION = "--clickhouse-port"
WRITER = "vedette"
READER = "vedette_read"
READABLE = ("vedette",)
_LOCK = "server.lock"

_CONFIG = """\
<clickhouse>
  <listen_host>{host}</listen_host>
  <http_port>{port}</http_port>
  <logger><log>{directory}/clickhouse.log</log><size>10M</size><count>2</count></logger>
  <log-level>warning</log-level>
  <tmp_path>{directory}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <access_control_improvements>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
  <max_server_memory_usage>1073741824</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <mmap_cache_size>0</mmap_cache_size>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
  <max_connections>256</max_connections>
  <keep_alive_timeout>30</keep_alive_timeout>
  <max_thread_pool_size>512</max_thread_pool_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
  <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
  <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
  <asynchronous_metrics_update_period_s>60</asynchronous_metrics_update_period_s>
  <asynchronous_heavy_metrics_update_period_s>3600</asynchronous_heavy_metrics_update_period_s>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <merge_selecting_sleep_ms>5000</merge_selecting_sleep_ms>
  </merge_tree>
</clickhouse>
"""

# The session that opens the port logs in as `default`, without a password, so such a user must exist. Its quota is the
# two statements of that session: whoever logs in the same way later can run nothing.
_USERS = """\
<clickhouse>
  <profiles>
    <default/>
    <reader><readonly>2</readonly><max_memory_usage>536870912</max_memory_usage></reader>
    <project_reader>
      <readonly>2</readonly>
      <max_memory_usage>536870912</max_memory_usage>
      <max_execution_time>60</max_execution_time>
      <max_concurrent_queries_for_user>8</max_concurrent_queries_for_user>
      <constraints>
        <max_memory_usage><min>1</min><max>536870912</max></max_memory_usage>
        <max_execution_time><min>1</min><max>60</max></max_execution_time>
        <max_concurrent_queries_for_user><min>1</min><max>8</max></max_concurrent_queries_for_user>
      </constraints>
    </project_reader>
  </profiles>
  <quotas>
    <default/>
    <opener><interval><duration>2000000000</duration><queries>2</queries></interval></opener>
  </quotas>
  <users>
    <{writer}>
      <password_sha256_hex>{writer_hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
      <access_management>1</access_management>
    </{writer}>
    <{reader}>
      <password_sha256_hex>{reader_hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks><profile>reader</profile><quota>default</quota>
      <grants>{grants}</grants>
    </{reader}>
    {further}
    <default>
      <no_password/>
      <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>opener</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SELECT ON system.numbers</query></grants>
    </default>
  </users>
</clickhouse>
"""

# A driver learns at connect which settings the server knows.
_READER_SYSTEM = ("GRANT SELECT ON system.settings",)

_SERVE = (
    "SYSTEM START LISTEN HTTP; SELECT sleepEachRow(1) FROM system.numbers FORMAT Null"
    " SETTINGS max_block_size=1, max_threads=1, log_queries=0, max_execution_time=0,"
    " function_sleep_max_microseconds_per_block=0"
)


class ClickHouseError(Exception):
    """ClickHouse did not come up; the text ends with what it said."""


@dataclass(frozen=True)
class Server:
    """A running server: its process, its HTTP port on 127.0.0.1 and the directory that holds data and passwords."""

    process: subprocess.Popen[bytes]
    port: int
    directory: Path

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def login(self, user: str = WRITER) -> str:
        """The URL with user and password in it."""
        return login(self.directory, self.port, user)


def start(directory: Path, port: int = 0, readable: Sequence[str] = READABLE, wait: float = 60.0) -> Server:
    """Starts a server on the data in `directory` and returns when it answers, after at most `wait` seconds.

    Port 0 takes the one kept in `directory`, else a free one. `vedette_read` may read the databases in `readable`. The
    server ends with the calling thread. Raises `PortTakenError`, or `ClickHouseError` with the end of its output, which
    goes to `server.log` in `directory`; also if another server runs on the same directory.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = kept_port(directory / "port", port, PORT_OPTION)
    output = directory / "server.log"
    with output.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            tethered(command(directory, chosen, readable)),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    server = Server(process, chosen, directory)
    deadline = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < deadline:
        if pidlock.named(directory / _LOCK) == process.pid and answers(directory, chosen):
            return server
        time.sleep(0.05)
    stop(server)
    raise ClickHouseError(f"ClickHouse did not start on port {chosen}:\n{output.read_text(errors='replace')[-2000:]}")


def stop(server: Server, grace: float = 5.0) -> None:
    """Stops the server with SIGTERM, with SIGKILL after `grace` seconds. Does nothing if it has ended."""
    server.process.terminate()
    try:
        server.process.wait(grace)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def command(directory: Path, port: int, readable: Sequence[str] = READABLE) -> list[str]:
    """The command line of a server process, for whoever supervises it."""
    return [sys.executable, "-m", "streams.local.clickhouse", "run", str(directory.resolve()), str(port), *readable]


def answers(directory: Path, port: int, timeout: float = 2.0) -> bool:
    """True if the server of `directory` answers on `port` within `timeout` seconds, with its password, and is sealed."""
    return _ask(directory, port, "SELECT 1", timeout) == "1\n" and not (directory / "boot").exists()


def _ask(directory: Path, port: int, query: str, timeout: float = 2.0) -> str | None:
    """What the server answers to the full user, None if it does not."""
    if not _password_file(directory, WRITER).exists():
        return None
    login = base64.b64encode(f"{WRITER}:{password(directory, WRITER)}".encode()).decode()
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/", data=query.encode(), headers={"Authorization": f"Basic {login}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            answer: str = response.read().decode()
            return answer
    except OSError:
        return None


def login(directory: Path, port: int, user: str = WRITER) -> str:
    """The URL of the server of `directory` with user and password in it. The password is hexadecimal: nothing to quote."""
    return f"http://{user}:{password(directory, user)}@{LOOPBACK}:{port}"


def password(directory: Path, user: str) -> str:
    """The password of `user` on the server of `directory`, made at random at the first call and kept for good."""
    return kept_secret(_password_file(directory, user), lambda: secrets.token_hex(24))


def run(directory: Path, port: int, readable: Sequence[str] = READABLE) -> None:
    """Serves the data in `directory` on `port` until the process is ended. Leaves if another one does."""
    engine = _engine()  # importing boots a throw-away one, which must not find our config.xml
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = pidlock.take(directory / _LOCK)
    if held is None:
        sys.exit(f"another ClickHouse runs on {directory}")
    known = _readers(directory)
    boot = _prepare(directory, port, readable)
    os.chdir(boot)
    threading.Thread(target=_seal, args=(directory, port), daemon=True).start()
    threading.Thread(target=_renew, args=(directory, known), daemon=True).start()
    result = engine.query(_SERVE, "TSV", path=str(directory / "data"))
    sys.exit(result.error_message() or "the statement that keeps ClickHouse alive has ended")


def _engine() -> Any:
    try:
        from chdb import _chdb  # noqa: PLC0415 - half a gigabyte that only this process needs
    except ImportError:
        sys.exit("the local ClickHouse needs chdb-core: install vedette-pipeline[local], or give --clickhouse-url")
    return _chdb


def _prepare(directory: Path, port: int, readable: Sequence[str]) -> Path:
    """Writes the configuration into the directory that the server boots from.

    Also sweeps the temporary files of a server that was killed: they may hold prompts.
    """
    boot, temporary = directory / "boot", directory / "tmp"
    for folder in (boot, temporary):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    os.environ["TMPDIR"] = str(temporary)
    (boot / "config.xml").write_text(_CONFIG.format(host=LOOPBACK, port=port, directory=escape(str(directory))))
    passwords = password(directory, WRITER), password(directory, READER)
    (boot / "users.xml").write_text(users(*passwords, readable, [file.read_text() for file in _readers(directory)]))
    return boot


def readers(directory: Path) -> Path:
    """The folder whose files are further users, made if it is missing."""
    folder = directory / "readers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.resolve()


def _readers(directory: Path) -> list[Path]:
    return sorted(readers(directory).glob("*.xml"))


def _renew(directory: Path, known: Sequence[Path]) -> None:
    """Starts the process anew, under the same id, as soon as there are other further users than those known."""
    while _readers(directory) == known:
        time.sleep(0.2)
    os.chdir(directory)  # the directory that the server booted from is gone
    for entry in Path("/dev/fd").iterdir():  # its port and its data must be free
        with contextlib.suppress(OSError):
            os.set_inheritable(int(entry.name), int(entry.name) <= 2)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def _seal(directory: Path, port: int) -> None:
    """Removes the directory that the server booted from once it answers.

    In this mode of ClickHouse the SQL function `file()` reads any file for any user, but it resolves the working
    directory first: without one it always fails.
    """
    while _ask(directory, port, "SELECT 1") is None:
        time.sleep(0.02)
    shutil.rmtree(directory / "boot")


def users(writer: str, reader: str, readable: Sequence[str], further: Sequence[str] = ()) -> str:
    """The text of `users.xml` for the two passwords, the databases that the reader may read, and further users' elements."""
    grants = [*_READER_SYSTEM, *(f"GRANT SELECT ON {pattern}.*" for pattern in readable)]
    return _USERS.format(
        writer=WRITER,
        reader=READER,
        writer_hash=hashlib.sha256(writer.encode()).hexdigest(),
        reader_hash=hashlib.sha256(reader.encode()).hexdigest(),
        grants="".join(f"<query>{grant}</query>" for grant in grants),
        further="\n    ".join(further),
    )


def _password_file(directory: Path, user: str) -> Path:
    return directory / f"{user}.password"


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["run", directory, port, *readable]:
            run(Path(directory), int(port), readable or READABLE)
        case _:
            sys.exit("usage: python -m streams.local.clickhouse run DIR PORT [PATTERN…]")


if __name__ == "__main__":
    main(sys.argv[1:])
