"""Writes batches of records into their tables."""

from collections.abc import Mapping, Sequence

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import columns, shipped
from sinks.clickhouse.rows import TABLES, Message, Rows


class Writer:
    """Inserts records; a second insert of the same ones changes nothing. Not to be shared by threads."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        made = columns(shipped())
        self._contexts = {table: clickhouse.insertion(table, made[table]) for table in TABLES}

    def insert(self, messages: Sequence[Message]) -> Mapping[str, int]:
        """Inserts a batch of any kinds of records over all its partitions and returns the number of rows by table.

        What is not stored (ticks, commands, tombstones) is passed over. A batch that fails may be partly written.

        Raises:
            Transient: the server is away, overloaded or not as it must be.
            Permanent: a record among them can never be written.
        """
        kinds = {type(message.record) for message in messages}
        return {
            table: self._write(table, rows, messages) for table, (record, rows) in TABLES.items() if record in kinds
        }

    def _write(self, table: str, rows: Rows, messages: Sequence[Message]) -> int:
        by_name = rows(messages)
        context = self._contexts[table]
        count = len(by_name["version"])
        if count:
            self._clickhouse.insert(context, [by_name[name] for name in context.column_names])
        return count
