"""The names of granian's interface that we use; granian does not mark them as exported."""

from granian.rsgi import Headers, HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]

__all__ = ["HTTPProtocol", "Headers", "ProtocolClosed", "ProtocolError", "Scope"]
