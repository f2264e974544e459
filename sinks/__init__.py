"""Talking to the outside about a record: ClickHouse, Slack, mail."""
