"""Slack through an incoming webhook: each change is a message of its own. There are no threads, updates or buttons.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import re
from dataclasses import dataclass, field

import orjson

from sinks import slack, web
from sinks.egress import PUBLIC, Egress
from sinks.message import Message
from sinks.sink import Permanent, Transient

REMEDIES = {
    "no_service": "the webhook was removed: add one in Slack and store its URL",
    "no_service_id": "the webhook was removed: add one in Slack and store its URL",
    "invalid_token": "the webhook's URL is wrong or was revoked: store the one that Slack shows",
    "no_team": "the webhook's workspace is gone: add one in another",
    "team_disabled": "the webhook's workspace is disabled: add one in another",
    "channel_is_archived": "unarchive the channel or add a webhook for another",
    "channel_not_found": "the webhook's channel is gone: add a webhook for another",
    "action_prohibited": "ask an admin of the workspace to allow the webhook",
    "posting_to_general_channel_denied": "ask an admin of the workspace, or add a webhook for another channel",
    "user_not_found": "add the webhook again",
    "no_active_hooks": "the webhook is disabled: enable it in Slack",
    "invalid_payload": "check that VEDETTE_PUBLIC_URL is an http(s) URL",
    "no_text": "check the destination's template",
}


@dataclass(frozen=True)
class SlackWebhook:
    """The URL of an incoming webhook, which is a secret."""

    url: str = field(repr=False)
    egress: Egress = PUBLIC
    timeout_s: float = 10

    async def send(self, message: Message) -> str:
        """Posts the change and returns its identity: Slack gives no other name to a message that came by a webhook.

        Raises:
            Transient: Slack is away or asks to slow down.
            Permanent: Slack refuses; the reason says what to do.

        """
        if not re.fullmatch(r"https?://[\x21-\x7e]+", self.url):
            raise Permanent("the incoming webhook's URL is none: store the one that Slack shows")
        headers = {"content-type": "application/json"}
        body = orjson.dumps(slack.payload(message))
        answer = await web.post(self.url, body, headers, self.egress, self.timeout_s, "Slack")
        if answer.status == 200:
            return message.identity
        raise _failure(answer)


def _failure(answer: web.Answer) -> Transient | Permanent:
    code = answer.body.decode(errors="replace").strip()
    if code in REMEDIES:
        return Permanent(f"Slack says {code}: {REMEDIES[code]}")
    return web.failure(answer, "Slack", "check the URL of the incoming webhook")
