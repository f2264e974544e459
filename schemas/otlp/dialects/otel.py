"""What OpenTelemetry says about any span or resource, whatever made it."""

from schemas.otlp.dialects.table import Dialect

OTEL = Dialect(
    name="",
    fields={
        "session_id": ("session.id",),
        "customer_id": ("user.id", "enduser.id"),
        "environment": ("deployment.environment.name", "deployment.environment"),
        "service": ("service.name",),
        "error_type": ("error.type",),
        "tags": ("tag.tags", "tags"),
    },
)
