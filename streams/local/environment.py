"""What an agent has to be told so that it reports to a stack."""

from streams.local.datadir import DataDir
from streams.local.facts import INGEST_KEY, Facts


def environment_text(known: Facts, data: DataDir) -> str:
    """Returns the variables by which an agent reports to a stack, key included, as a shell takes them."""
    key = (data.path / INGEST_KEY).read_text().strip()
    return f"""\
# for Vedette's SDK, and for judgeval
export VEDETTE_API_URL={known.otlp_http}
export VEDETTE_API_KEY={key}
export JUDGMENT_API_URL={known.otlp_http}
export JUDGMENT_API_KEY={key}
export JUDGMENT_ORG_ID={known.organization}

# for any OpenTelemetry SDK
export OTEL_EXPORTER_OTLP_ENDPOINT={known.otlp_http}
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20{key}'
"""
