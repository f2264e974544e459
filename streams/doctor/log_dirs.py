"""What topics take on the brokers' disks: Kafka's DescribeLogDirs, which librdkafka does not speak.

Protocol: KIP-113, with the size of the volume since KIP-827 (https://kafka.apache.org/protocol#The_Messages_DescribeLogDirs).
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # Faust brings it, without types
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]
from aiokafka.protocol.types import (  # type: ignore[import-untyped]
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from streams.settings import Settings

_TEXT = CompactString("utf-8")


@dataclass(frozen=True)
class Directory:
    """One log directory of one broker."""

    broker: int
    path: str
    topics: dict[str, int]
    """Bytes by topic."""
    total: int
    """Bytes of its volume; -1: the broker does not say."""
    free: int
    error: int
    """Kafka's error code; 0: none."""


class _Response(Response):  # type: ignore[misc]
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", _TEXT),
                (
                    "topics",
                    CompactArray(
                        ("name", _TEXT),
                        (
                            "partitions",
                            CompactArray(
                                ("partition", Int32),
                                ("size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Struct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("topics", CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))),
        ("tags", TaggedFields),
    )


class _DescribeLogDirs(Request[_Struct]):  # type: ignore[misc]
    API_KEY = 35

    def build(self, request_struct_class: type[_Struct]) -> _Struct:
        return request_struct_class(None, {})  # None: every topic


def directories(settings: Settings, within_s: float) -> list[Directory]:
    """Returns every log directory of every broker.

    Raises:
        TimeoutError: a broker does not answer.
        aiokafka.errors.KafkaError: a broker is older than 3.3, or refuses.

    """
    return asyncio.run(asyncio.wait_for(_directories(settings, within_s), within_s))


async def _directories(settings: Settings, within_s: float) -> list[Directory]:
    timeout_ms = round(within_s * 1000)
    client = AIOKafkaClient(
        bootstrap_servers=settings.bootstrap_servers, request_timeout_ms=timeout_ms, **_security(settings)
    )
    try:
        await client.bootstrap()
        found: list[Directory] = []
        for broker in sorted(node.nodeId for node in client.cluster.brokers()):
            while not await client.ready(broker):  # noqa: ASYNC110 - it connects, or says not yet
                await asyncio.sleep(0.1)
            answer = await client.send(broker, _DescribeLogDirs())
            found += _told(broker, answer.to_object())
        return found
    finally:
        await client.close()


def _told(broker: int, answer: dict[str, Any]) -> Iterable[Directory]:
    for one in answer["results"]:
        sizes: Counter[str] = Counter()
        for topic in one["topics"]:
            sizes[topic["name"]] += sum(partition["size"] for partition in topic["partitions"])
        yield Directory(broker, one["log_dir"], dict(sizes), one["total_bytes"], one["usable_bytes"], one["error_code"])


def _security(settings: Settings) -> dict[str, Any]:
    """The settings for librdkafka in aiokafka's words, for PLAIN and SCRAM."""
    given = {name.lower().replace("_", "."): value for name, value in settings.kafka.items()}
    protocol = given.get("security.protocol", "plaintext").upper()
    told: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=given.get("ssl.ca.location"))
        if "ssl.certificate.location" in given:
            key = given.get("ssl.key.location"), given.get("ssl.key.password")
            context.load_cert_chain(given["ssl.certificate.location"], *key)
        told["ssl_context"] = context
    if protocol.startswith("SASL"):
        told["sasl_mechanism"] = given.get("sasl.mechanism", given.get("sasl.mechanisms", "PLAIN"))
        told |= {"sasl_plain_username": given.get("sasl.username"), "sasl_plain_password": given.get("sasl.password")}
    return told
