"""Traces across processes: W3C `traceparent`, and agent, session and customer in W3C `baggage`."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vedette.scope import Activation, Scope, Trace, in_scope, name_text, scope_of

if TYPE_CHECKING:
    from vedette.core import Core

CARRIED = ("vedette.session_id", "vedette.customer_id", "vedette.agent", "vedette.agent_instance", "vedette.agent_id")

_TRACE, _BAGGAGE = TraceContextTextMapPropagator(), W3CBaggagePropagator()


def inject(headers: MutableMapping[str, str]) -> None:
    """Writes the current trace, agent, session and customer into headers."""
    context = get_current()
    scope = scope_of(context)
    _TRACE.inject(headers, context)
    told = scope.attributes if scope is not None else {}
    for name in CARRIED:
        if told.get(name):
            context = baggage.set_baggage(name, told[name], context)
    _BAGGAGE.inject(headers, context)


def extract(core: Core, headers: Mapping[str, str]) -> Context:
    """Returns a context in which the sender's trace, agent, session and customer go on."""
    carrier = {name.lower(): value for name, value in headers.items()}
    context = _BAGGAGE.extract(carrier, _TRACE.extract(carrier, get_current()))
    told = {name: name_text(value) for name in CARRIED if (value := baggage.get_baggage(name, context))}
    trace = Trace({name: told[name] for name in ("vedette.session_id", "vedette.customer_id") if name in told})
    activation = _activation(told) if "vedette.agent" in told else None
    return in_scope(Scope(core, trace, activation), context)


def _activation(told: Mapping[str, str]) -> Activation:
    """The sender's own activation goes on; its entry span is there, not here."""
    return Activation(
        agent=told["vedette.agent"],
        agent_id=told.get("vedette.agent_id", ""),
        agent_instance=told.get("vedette.agent_instance", ""),
        entered=True,
    )
