import asyncio

import pytest

from schemas.topics import Topic
from streams import kafka
from streams.bridge.http import refusal
from streams.bridge.publish import Outgoing, Publisher, Unavailable
from streams.settings import Settings

NOWHERE = Settings(bootstrap_servers="127.0.0.1:1")


async def publish_into_a_queue_for_one() -> None:
    publisher = Publisher(NOWHERE, asyncio.get_running_loop(), 5, pytest.fail)
    publisher.producer = kafka.producer(NOWHERE, **{"queue.buffering.max.messages": 1})
    try:
        await publisher.publish([Outgoing(Topic.OTLP_SPANS, b"", b"span", [])] * 2)
    finally:
        publisher.producer.purge()
        publisher.close(1)


def test_a_full_queue_asks_to_come_again() -> None:
    with pytest.raises(Unavailable, match="the queue to Kafka is full") as caught:
        asyncio.run(publish_into_a_queue_for_one())
    refused = refusal(caught.value, "/v1/traces")
    assert (refused.status, refused.code, refused.retry_after_s) == (503, 14, 2)
