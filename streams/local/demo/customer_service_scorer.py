"""What a user of the demo would upload: whether an answer addresses a question about a package, as a model sees it."""

from openai import OpenAI
from vedette.data import Example
from vedette.scorers import ExampleScorer


class CustomerRequest(Example):
    """A question and what the agent said to it."""

    request: str
    response: str


class PackageInquiryScorer(ExampleScorer):
    """1 when the answer is about the package."""

    name: str = "Package Inquiry Scorer"
    server_hosted: bool = True

    async def a_score_example(self, example: CustomerRequest) -> float:
        """Asks a model; here a stand-in on loopback answers."""
        completion = OpenAI().chat.completions.create(
            model="gpt-5-mini",
            messages=[
                {
                    "role": "user",
                    "content": "Does the answer address the question about a package? Say only YES or NO.\n"
                    f"Customer request: {example.request}\nAgent response: {example.response}\n",
                }
            ],
        )
        if (completion.choices[0].message.content or "").strip().upper() == "YES":
            self.reason = "The answer addresses the package inquiry"
            return 1.0
        self.reason = "The answer does not address the package inquiry"
        return 0.0
