"""What the bridge counts."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("vedette_bridge_requests_total", "Requests answered", ["path", "status"])
SPANS = Counter("vedette_bridge_spans_total", "Spans acknowledged by Kafka")
LOG_EVENTS = Counter("vedette_bridge_log_events_total", "Log events that tell content, acknowledged by Kafka")
LOGS_LET_GO = Counter("vedette_bridge_logs_let_go_total", "Log records that tell no content of a span: not kept")
EXAMPLES = Counter("vedette_bridge_examples_total", "Examples acknowledged by Kafka")
REJECTED = Counter(
    "vedette_bridge_rejected_total", "Spans and examples left out of requests that were taken", ["reason"]
)
BYTES = Counter("vedette_bridge_bytes_total", "Bytes of the bodies that were taken, inflated")
ACK_SECONDS = Histogram(
    "vedette_bridge_ack_seconds",
    "From produce to Kafka's ack",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)
