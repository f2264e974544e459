"""A schema registry on loopback that speaks Confluent's REST protocol, as far as its clients for Avro go.

It compares schemas by itself, not by our check: a reader must know every field that it has no default for, and types must agree.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, dict[str, Any] | list[Any]]


def refusal(code: int, message: str) -> Answer:
    return int(str(code)[:3]), {"error_code": code, "message": message}


@dataclass
class Schemas:
    """What the registry knows. `away` makes it answer 503, `forbidden` 403 to whoever writes; `asked` lists requests by method and path."""

    ids: dict[int, str] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    credentials: str = ""
    away: bool = False
    forbidden: bool = False

    def register(self, subject: str, body: dict[str, Any], normalise: bool = False) -> Answer:
        text, kind = body["schema"], body.get("schemaType", "AVRO")
        if normalise and kind == "AVRO":
            text = json.dumps(json.loads(text), separators=(",", ":"), sort_keys=True)
        versions = self.subjects.setdefault(subject, [])
        number = next((n for n, known in self.ids.items() if (known, self.kinds[n]) == (text, kind)), len(self.ids) + 1)
        if number not in versions:
            problem = self.problem(subject, text) if kind == "AVRO" else ""
            if problem:
                return refusal(409, f"Schema being registered is incompatible with an earlier schema: {problem}")
            self.ids[number], self.kinds[number] = text, kind
            versions.append(number)
        return 200, self.told(number) | {"subject": subject, "version": versions.index(number) + 1}

    def problem(self, subject: str, text: str) -> str:
        """FULL_TRANSITIVE: against every version, in both directions."""
        if self.levels.get(subject, self.levels.get("", "BACKWARD")) != "FULL_TRANSITIVE":
            return ""
        new = json.loads(text)
        pairs = [(json.loads(self.ids[old]), new) for old in self.subjects[subject]]
        return next((p for old, new in pairs for a, b in ((old, new), (new, old)) if (p := unreadable(a, b))), "")

    def told(self, number: int) -> dict[str, Any]:
        kind = {} if self.kinds[number] == "AVRO" else {"schemaType": self.kinds[number]}
        return {"id": number, "guid": str(guid(self.ids[number])), "schema": self.ids[number], **kind}

    def by_id(self, number: str) -> Answer:
        return (
            (200, self.told(int(number))) if int(number) in self.ids else refusal(40403, f"Schema {number} not found")
        )

    def by_guid(self, wanted: str) -> Answer:
        found = [number for number, text in self.ids.items() if str(guid(text)) == wanted]
        return (200, self.told(found[0])) if found else refusal(40403, f"Schema {wanted} not found")

    def versions(self, subject: str) -> Answer:
        known = self.subjects.get(subject)
        return (200, list(range(1, len(known) + 1))) if known else refusal(40401, f"Subject '{subject}' not found.")

    def level(self, subject: str = "") -> Answer:
        if subject and subject not in self.levels:
            return refusal(40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return 200, {"compatibilityLevel": self.levels.get(subject, "BACKWARD")}

    def set_level(self, subject: str, body: dict[str, Any]) -> Answer:
        self.levels[subject] = body["compatibility"]
        return 200, {"compatibility": body["compatibility"]}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> Answer:
        self.asked.append(f"{method} {path}")
        if self.away:
            return refusal(50302, "the leader is away")
        if self.forbidden and method != "GET":
            return refusal(40301, f"User is denied operation Write on {path}")
        normalise = query.get("normalize", [""])[0].lower() == "true"
        routes: list[tuple[str, Callable[..., Answer]]] = [
            (r"POST /subjects/([^/]+)/versions", lambda subject: self.register(subject, body, normalise)),
            (r"GET /subjects/([^/]+)/versions", self.versions),
            (r"GET /schemas/ids/(\d+)", self.by_id),
            (r"GET /schemas/guids/([0-9a-f-]+)", self.by_guid),
            (r"GET /config(?:/([^/]+))?", lambda subject: self.level(subject or "")),
            (r"PUT /config(?:/([^/]+))?", lambda subject: self.set_level(subject or "", body)),
        ]
        for pattern, call in routes:
            if match := re.fullmatch(pattern, f"{method} {path}"):
                return call(*(unquote(part) if part else part for part in match.groups()))
        return refusal(404, "HTTP 404 Not Found")


def guid(text: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, text)


def unreadable(reader: Any, writer: Any) -> str:
    """Why a reader with one schema cannot read what was written with the other; empty if it can."""
    if not (isinstance(reader, dict) and isinstance(writer, dict) and "fields" in reader and "fields" in writer):
        return "" if kind(reader) == kind(writer) else f"TYPE_MISMATCH {kind(reader)} {kind(writer)}"
    if reader["name"] != writer["name"]:
        return f"NAME_MISMATCH {reader['name']} {writer['name']}"
    written = {f["name"]: f["type"] for f in writer["fields"]}
    for f in reader["fields"]:
        if f["name"] not in written and "default" not in f:
            return f"READER_FIELD_MISSING_DEFAULT_VALUE {f['name']}"
        if f["name"] in written and (problem := unreadable(f["type"], written[f["name"]])):
            return f"{problem} at {f['name']}"
    return ""


def kind(schema: Any) -> str:
    if isinstance(schema, dict):
        return str(schema["type"]) + str([kind(schema[k]) for k in ("items", "values") if k in schema])
    return str([kind(branch) for branch in schema]) if isinstance(schema, list) else str(schema)


@dataclass
class Registry:
    url: str
    known: Schemas


@contextmanager
def registry(credentials: str = "") -> Iterator[Registry]:
    """A registry that answers until the block ends; `credentials` (base64) are what it asks for by basic authentication."""
    known = Schemas(credentials=credentials)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            given = (self.headers.get("authorization") or "").removeprefix("Basic ")
            asked = urlsplit(self.path)
            allowed = given == known.credentials
            status, told = (
                known.answer(self.command, asked.path, parse_qs(asked.query), body)
                if allowed
                else refusal(401, "Unauthorized")
            )
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield Registry(f"http://127.0.0.1:{server.server_address[1]}", known)
    finally:
        server.shutdown()
        server.server_close()
