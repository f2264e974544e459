"""ClickHouse: migrations, records as rows, the writer. Always reached over HTTP."""
