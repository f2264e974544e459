"""The baseline of the counter: a Faust agent on the same records that writes one empty table entry per event, and nothing else."""

import sys
import tempfile

import faust

servers, topic, group, partitions = sys.argv[1:5]

app = faust.App(
    group,
    broker=f"kafka://{servers}",
    store="memory://",
    key_serializer="raw",
    value_serializer="raw",
    datadir=tempfile.mkdtemp(),
    web_enabled=False,
    topic_allow_declare=False,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    producer_linger=0.02,
    broker_session_timeout=10.0,
    broker_commit_interval=1.0,
    table_standby_replicas=0,
)
table = app.Table("empty", key_type=bytes, value_type=bytes, partitions=int(partitions))


@app.agent(app.topic(topic, key_type=bytes, value_type=bytes))
async def count(stream):
    """Writes the key and nothing more."""
    async for event in stream.events():
        table[event.key] = b"1"


if __name__ == "__main__":
    faust.Worker(app, quiet=True, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
