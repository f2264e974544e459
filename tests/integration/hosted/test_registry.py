"""The product page's scorer and its two requirements, from the registry that pip uses on this machine."""

import json
from pathlib import Path

from scorers.hosted.bundle import Bundle
from scorers.hosted.channel import Call, Judged
from scorers.hosted.index import Index
from scorers.hosted.install import SHIM
from scorers.hosted.pip_settings import pip_settings
from scorers.hosted.sandbox import Room
from tests.support.hosted import builder, open_folder

RECORDED = Path(__file__).parents[2] / "fixtures" / "judgeval" / "v0.22.2_cli_upload.jsonl"
PRODUCT_PAGE = str(json.loads(RECORDED.read_text().splitlines()[0])["body"]["scorer_code"])
WITHOUT_A_MODEL = """

class OpenAI:
    def __init__(self):
        import openai, pydantic
        assert issubclass(CustomerRequest, pydantic.BaseModel)
        self.chat = self.completions = self.message = self
        self.choices = [self]
        self.content = f"yes, by openai {openai.__version__}"[:3]

    def create(self, model, messages):
        return self
"""


async def test_the_scorer_of_the_product_page_is_built_with_what_it_asks_for_and_judges() -> None:
    own = pip_settings()
    with open_folder() as folder:
        build = builder(Index(own.index_url, own.certificates), folder, within_s=300)
        built = await build.build(Bundle(PRODUCT_PAGE + WITHOUT_A_MODEL, "pydantic\nopenai\n"))
        assert {"openai", "pydantic", "pydantic-core"} <= {line.partition("==")[0] for line in built.lock.splitlines()}
        assert (built.manifest.scorer, built.manifest.threshold) == ("Package Inquiry Scorer", 0.5)
        cell = await build.installer.sandbox.start(Room(built.place.code, built.place.packages, SHIM))
        try:
            answers = await cell.call([Call({"request": "Where is my package?", "response": "On its way."})], 60)
        finally:
            await cell.kill()
        assert answers == [Judged(1.0, "Response appropriately addresses package inquiry")]
