"""Configuration documents: what people write, checked and with defaults filled in."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from schemas.documents.destination import Destination
from schemas.documents.provider import Provider
from schemas.documents.rule import Rule
from schemas.documents.scorer import Scorer
from schemas.documents.silence import Silence

Document = Annotated[Scorer | Destination | Provider | Rule | Silence, Field(discriminator="kind")]
"""Any document, told apart by its `kind`."""

DOCUMENT: TypeAdapter[Any] = TypeAdapter(Document)
KINDS = ("Scorer", "Destination", "Provider", "Rule", "Silence")
