"""The one Faust set-up: settings that do not lose records, and the way to Kafka that librdkafka has."""

import ssl
import tempfile
from pathlib import Path
from typing import Any

import faust
from faust.types import AppT

from schemas.record import MAX_RECORD_BYTES
from streams import kafka
from streams.settings import Settings


def faust_app(job: str, settings: Settings, **further: Any) -> AppT:
    """Returns a Faust app with our settings; its id is the consumer group."""
    return faust.App(
        kafka.group_name(settings, job),
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        datadir=str(Path(tempfile.gettempdir()) / "vedette-faust"),  # it asks for one; nothing of ours is kept there
        origin=None,
        processing_guarantee="at_least_once",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_RECORD_BYTES,
        producer_acks=-1,
        producer_linger=0.005,
        producer_max_request_size=MAX_RECORD_BYTES,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        broker_max_poll_interval=300.0,
        stream_wait_empty=True,
        stream_buffer_maxsize=512,
        table_standby_replicas=0,
        **further,
    )


def _credentials(settings: Settings) -> Any:
    """Returns the same SASL and TLS settings as librdkafka's, in Faust's form."""
    given = {name.lower().replace("_", "."): value for name, value in settings.kafka.items()}
    protocol = given.get("security.protocol", "PLAINTEXT").upper()
    context = ssl.create_default_context(cafile=given.get("ssl.ca.location")) if protocol.endswith("SSL") else None
    if context and "ssl.certificate.location" in given:
        context.load_cert_chain(
            given["ssl.certificate.location"], given.get("ssl.key.location"), given.get("ssl.key.password")
        )
    if protocol.startswith("SASL"):
        mechanism = given.get("sasl.mechanism", given.get("sasl.mechanisms", "PLAIN"))
        return faust.SASLCredentials(
            username=given.get("sasl.username"),
            password=given.get("sasl.password"),
            ssl_context=context,
            mechanism=mechanism,
        )
    return faust.SSLCredentials(context=context) if context else None
