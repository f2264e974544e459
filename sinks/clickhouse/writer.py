"""Writes batches of records into their tables."""

from collections.abc import Mapping, Sequence

from schemas import codec
from schemas.codec import Unread
from schemas.record import Record
from sinks.clickhouse.avro import READINGS, Reading
from sinks.clickhouse.client import ClickHouse, failures
from sinks.clickhouse.migrate import columns, shipped
from sinks.clickhouse.rows import ROWS, Message, Rows
from sinks.sink import Permanent, Transient

TABLES: Mapping[str, type[Record]] = {
    **{table: reading.record for table, reading in READINGS.items()},
    **{table: record for table, (record, _) in ROWS.items()},
}
"""By table: of which record it holds something."""


class Writer:
    """Inserts records; a second insert of the same ones changes nothing. Not to be shared by threads."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        made = columns(shipped())
        self._contexts = {table: clickhouse.insertion(table, made[table]) for table in ROWS}
        self._statements = {table: reading.statement(table) for table, reading in READINGS.items()}

    def insert(self, messages: Sequence[Message]) -> Mapping[str, int]:
        """Inserts a batch of any kinds of records over all its partitions and returns the number of rows by table.

        What is not stored (ticks, commands, tombstones) is passed over. A batch that fails may be partly written. Spans and scores may
        come unread.

        Raises:
            Transient: the server is away, overloaded or not as it must be, or it refuses a batch in which something is unread.
            Permanent: a record among them can never be written.
        """
        by_kind: dict[type | None, list[Message]] = {}
        for message in messages:
            by_kind.setdefault(_kind(message), []).append(message)
        return {table: self._write(table, by_kind[record]) for table, record in TABLES.items() if record in by_kind}

    def _write(self, table: str, messages: Sequence[Message]) -> int:
        if reading := READINGS.get(table):
            return self._hand_over(table, reading, messages)
        _, rows = ROWS[table]
        return self._insert(table, rows, messages)

    def _hand_over(self, table: str, reading: Reading, messages: Sequence[Message]) -> int:
        """What ClickHouse refuses unread has to be read here: only that tells which record is to blame."""
        with failures(self._clickhouse.address):
            bodies = ((message.offset, _body(message.record)) for message in messages)
            wanted = [(at, body) for at, body in bodies if reading.wanted is None or reading.wanted(body)]
            data = reading.container(wanted)
        if not wanted:
            return 0
        try:
            return self._clickhouse.insert_read(self._statements[table], data)
        except Permanent as refused:
            if any(isinstance(message.record, Unread) for message in messages):
                raise Transient(f"to be read first: {refused.reason}") from None
            raise

    def _insert(self, table: str, rows: Rows, messages: Sequence[Message]) -> int:
        by_name = rows(messages)
        context = self._contexts[table]
        count = len(by_name["version"])
        if count:
            self._clickhouse.insert(context, [by_name[name] for name in context.column_names])
        return count


def _kind(message: Message) -> type | None:
    record = message.record
    return record.cls if isinstance(record, Unread) else type(record)


def _body(record: object) -> bytes:
    if isinstance(record, Unread):
        return record.body
    if isinstance(record, Record):
        return codec.body(record)
    raise TypeError(f"not a record: {record!r}")
