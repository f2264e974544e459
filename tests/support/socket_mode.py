"""Slack's Socket Mode on loopback: `apps.connections.open`, the WebSocket that it names, and what is answered to clicks."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from sinks.slack import ACTION_PREFIX

TOKEN = "xapp-1-secret"


@dataclass
class SocketMode:
    """A server; `click` sends a click to whoever is connected and returns when it was acknowledged."""

    url: str = ""
    refusal: str = ""
    tokens: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def open(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if self.refusal or not self.tokens[-1].startswith("xapp-"):
            return web.json_response({"ok": False, "error": self.refusal or "not_allowed_token_type"})
        return web.json_response({"ok": True, "url": self.url.replace("http", "ws") + "link/?ticket=t"})

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.sockets.append(socket)
        self.connected.set()
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await self.acknowledged.put(json.loads(message.data)["envelope_id"])
        return socket

    async def respond(self, request: web.Request) -> web.Response:
        self.answers.append(await request.json())
        return web.Response(text="ok")

    async def click(self, action: str, project: str, alert: str, who: str = "ada") -> None:
        envelope = f"envelope-{next(self._numbers)}"
        value = json.dumps({"project": project, "alert": alert})
        payload = {
            "type": "block_actions",
            "user": {"id": "U1", "username": who},
            "response_url": f"{self.url}respond",
            "actions": [{"type": "button", "action_id": ACTION_PREFIX + action, "value": value}],
        }
        sent = {"type": "interactive", "envelope_id": envelope, "accepts_response_payload": False, "payload": payload}
        await self.sockets[-1].send_json(sent)
        async with asyncio.timeout(5):
            assert await self.acknowledged.get() == envelope


@asynccontextmanager
async def socket_mode() -> AsyncIterator[SocketMode]:
    """Runs the server."""
    server = SocketMode()
    application = web.Application()
    application.router.add_post("/api/apps.connections.open", server.open)
    application.router.add_get("/api/link/", server.link)
    application.router.add_post("/api/respond", server.respond)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    try:
        yield server
    finally:
        for socket in server.sockets:
            await socket.close()
        await runner.cleanup()
