"""Data: the records on topics, topic names and keys, OTLP to canonical spans. Imports nothing of ours."""
