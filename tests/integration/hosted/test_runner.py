"""The runner at work: requests on Kafka, scorers in real sandboxes, a model behind the gateway, scores on Kafka."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from schemas.ids import record_key
from schemas.later import LaterRequest
from schemas.request import Pair, ScoreRequest
from schemas.score import Score
from schemas.subject import Subject
from schemas.topics import Topic
from scorers.hosted import folders
from streams.cli.client import Client
from streams.local.openai_standin import OpenAiReply, OpenAiStandIn, judge_of_packages
from streams.local.ports import free_port
from streams.logic.configuration import Configuration
from streams.runner import Runner
from streams.settings import Settings
from tests.support.bridge import make_key
from tests.support.hosted import open_folder
from tests.support.jobs import Installation, Job

pytestmark = pytest.mark.integration

KEY = "sk-canary-c4ffee"
RECORDED = Path(__file__).parents[2] / "fixtures" / "judgeval" / "v0.22.2_cli_upload.jsonl"
PRODUCT_PAGE = str(json.loads(RECORDED.read_text().splitlines()[0])["body"]["scorer_code"])

OF_TRACES = """
from vedette.data import Trace
from vedette.scorers import TraceScorer

class Handed(TraceScorer):
    name: str = "Handed over"

    async def a_score_trace(self, trace: Trace):
        agents = [span["agent"] for span in trace if span.get("agent")]
        self.reason = f"{' to '.join(agents)}: {trace.output}"
        return float(len(trace) == 2)
"""
PLAIN = """
import os, sys, time
from vedette.scorers import ExampleScorer

class Plain(ExampleScorer):
    name: str = {name!r}

    async def a_score_example(self, example):
        {body}
"""
SEARCH = """import urllib.request, urllib.error
        needle = bytes(reversed(bytes.fromhex(example.reversed)))
        call = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", method="POST",
            data=b'{"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Agent response: parcel"}]}')
        answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(call).read()
        places = [("environment", repr(dict(os.environ)).encode())]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("environ", "cmdline"):
                try:
                    places.append((f"{pid} {name}", open(f"/proc/{pid}/{name}", "rb").read()))
                except OSError:
                    pass
        searched = 0
        own = needle[:4]
        memory = open("/proc/self/mem", "rb", 0)
        found = [name for name, text in places if needle in text]
        for line in open("/proc/self/maps"):
            first, rights = line.split()[:2]
            start, end = (int(one, 16) for one in first.split("-"))
            if "r" not in rights or "[v" in line:
                continue
            try:
                memory.seek(start)
                text = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            searched += len(text)
            found += [line] * (text.count(needle) > 8)
        self.reason = f"answered {b'YES' in answer}, {len(places)} places, {searched > 1000000}, found {found}"
        return 0.0 if found else 1.0"""


@dataclass
class Site:
    installation: Installation
    runner: Job
    key: str
    model: OpenAiStandIn

    @property
    def api(self) -> Client:
        return Client(f"http://127.0.0.1:{self.installation.settings.api_port}", self.key)

    def upload(self, name: str, code: str, requirements: str = "", **spec: object) -> str:
        """Uploads, and applies what else the document says; returns the version."""
        body = {"code": code, "requirements": requirements, "name": name, "overwrite": True}
        made = self.api.within(300).post("/api/v1/scorers", body, project="shop")
        if not spec:
            return str(made["version"])
        (found,) = self.api.get("/api/v1/documents", kind="scorer", project="shop", name=name)["documents"]
        document = {**found["document"], "spec": {**found["document"]["spec"], **spec}}
        (changed,) = self.api.put("/api/v1/documents", [document])["documents"]
        return str(changed["version"])

    def plain(self, name: str, body: str, **spec: object) -> str:
        return self.upload(name, PLAIN.format(name=name, body=body), **spec)

    def ask(
        self,
        fields: Mapping[str, object],
        *scorers: tuple[str, str],
        kind: Literal["example", "trace"] = "example",
        **own: object,
    ) -> str:
        """Asks scorers, each a name and a version, for an example or a trace, with what the request names for itself; returns its id."""
        identity = secrets.token_hex(8)
        subject = Subject(project="shop", kind=kind, subject_id=identity, agent="a", fields=json.dumps(fields).encode())
        asked = [
            {"subject": 0, "scorer": name, "version": version, "base_version": version} for name, version in scorers
        ]
        pairs = tuple(Pair.model_validate(one | own) for one in asked)
        request = ScoreRequest(
            project="shop", ingested_at=time.time_ns() // 1_000_000, subjects=(subject,), pairs=pairs
        )
        self.installation.put(Topic.REQUESTS_HOSTED, record_key("shop", identity), request)
        self.installation.producer.flush(10)
        return identity

    def scores(self) -> dict[tuple[str, str], Score]:
        """The scores by example and scorer; none has two."""
        found = self.installation.records(Topic.SCORES, Score)
        told = {(score.subject_id, score.scorer): score for score in found}
        assert len(told) == len(found)
        return told

    def score(self, identity: str, scorer: str, patience_s: float = 60) -> Score:
        self.installation.until(lambda: (identity, scorer) in self.scores(), patience_s, every_s=0.1)
        return self.scores()[identity, scorer]


@pytest.fixture(scope="module")
def site(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with OpenAiStandIn() as model:
        settings = Settings(
            bootstrap_servers=kafka, topic_prefix=f"r{secrets.token_hex(4)}.", partitions=2, api_port=free_port(),
            runner_port=(port := free_port()), runner_url=f"http://127.0.0.1:{port}", runner_token=SecretStr("shared"),
            private_networks=["127.0.0.0/8"], env_allow={"*": ["TEST_OPENAI_KEY"]},
        )  # fmt: skip
        installation = Installation(settings, tmp_path_factory.mktemp("runner"))
        key = make_key(settings, scopes=("admin",))
        os.environ["TEST_OPENAI_KEY"] = KEY
        try:
            (runner, _) = installation.start("runner", "streams.api.job")
        finally:
            del os.environ["TEST_OPENAI_KEY"]
        made = Site(installation, runner, key, model)
        provider = {
            "type": "openai", "api_key": {"env": "TEST_OPENAI_KEY"}, "base_url": model.url, "models": ["gpt-5-mini"], "budget_usd_per_day": 5,
        }  # fmt: skip
        made.api.put("/api/v1/documents", [_document("Provider", "openai", "", provider)])
        yield made
        installation.stop()


def _document(kind: str, name: str, project: str, spec: object) -> dict[str, Any]:
    return {"apiVersion": "vedette/v1", "kind": kind, "metadata": {"name": name, "project": project}, "spec": spec}


def test_the_scorer_of_the_product_page_asks_its_model_through_the_gateway(site: Site) -> None:
    version = site.upload("Package Inquiry Scorer", PRODUCT_PAGE, "pydantic\nopenai\n")
    site.model.calls.clear()
    asked = {
        answer: site.ask({"request": "Where is my package?", "response": answer}, ("Package Inquiry Scorer", version))
        for answer in ("Your parcel comes today.", "Have you heard of our loyalty programme?")
    }
    scores = [site.score(identity, "Package Inquiry Scorer") for identity in asked.values()]
    assert [(score.outcome, score.value, score.reason) for score in scores] == [
        ("pass", 1.0, "Response appropriately addresses package inquiry"),
        ("fail", 0.0, "Response doesn't adequately address package inquiry"),
    ]
    assert all(0 < (score.cost_usd or 0) < 0.01 for score in scores)
    assert {(call.path, call.key, call.body["model"]) for call in site.model.calls} == {
        ("/v1/chat/completions", KEY, "gpt-5-mini")
    }
    assert KEY not in site.runner.log()


def test_a_provider_that_is_away_lets_the_evaluation_wait(site: Site) -> None:
    version = site.plain("asks", SEARCH)
    site.model.respond = lambda _: OpenAiReply("too many people", 429, {"retry-after": "9"})
    identity = site.ask({"reversed": "00"}, ("asks", version))

    def waiting() -> list[LaterRequest]:
        found = site.installation.records(Topic.SCORE_LATER, LaterRequest)
        return [one for one in found if one.scorer == "asks"]

    site.installation.until(lambda: len(waiting()) == 1)
    site.model.respond = judge_of_packages
    (one,) = waiting()
    assert one.asked[2].subject_id == identity
    assert "provider 'openai' answers 429: too many people" in one.reason


def test_the_key_is_nowhere_in_the_sandbox(site: Site) -> None:
    version = site.plain("searches", SEARCH)
    turned = bytes(reversed(KEY.encode())).hex()
    score = site.score(site.ask({"reversed": turned}, ("searches", version)), "searches")
    assert (score.outcome, "found []" in score.reason, "answered True" in score.reason) == ("pass", True, True), (
        score.reason
    )


FAULTS = {
    "hangs": ("time.sleep(3600)", "no verdict within 3 s"),
    "spins": ("exec('while True: pass')", "no verdict within 3 s"),
    "leaves": ("os._exit(3)", "its sandbox ended: exit 3"),
    "raises": ("raise KeyError('the order')", "KeyError: 'the order'"),
    "eats": ("return float(len(b'x' * (4 << 30)))", "emory"),
    "says nonsense": ("return [1]", "the scorer returned list; return a number from 0 to 1"),
}


def test_faults_of_one_scorer_are_told_to_its_author_and_delay_no_other(site: Site) -> None:
    bodies = {name: body for name, (body, _) in FAULTS.items()}
    bodies |= {"floods": "print('x' * 50_000_000); return 1.0", "good": "return float(example.n)"}
    with ThreadPoolExecutor(8) as several:
        made = {name: several.submit(site.plain, name, body, **_limit(name)) for name, body in bodies.items()}
    bad = {name: version.result() for name, version in made.items()}
    good = bad.pop("good")
    site.score(site.ask({"n": 1}, ("good", good)), "good")
    asked = {
        name: [site.ask({"n": 1}, (name, version)) for _ in range(1 if name == "spins" else 3)]
        for name, version in bad.items()
    }
    both = site.ask({"n": 1}, ("hangs", bad["hangs"]), ("good", good))
    examples = [site.ask({"n": 1}, ("good", good)) for _ in range(30)]
    wanted = {(one, "good") for one in [both, *examples]} | {(one, name) for name in asked for one in asked[name]}
    site.installation.until(lambda: wanted | {(both, "hangs")} <= site.scores().keys(), every_s=0.5)
    scores = site.scores()
    for identity in [both, *examples]:
        assert scores[identity, "good"].outcome == "pass"
        assert scores[identity, "good"].latency_ms < 5000, "nobody waits for a neighbour's deadline"
    for name, (_, reason) in FAULTS.items():
        for identity in asked[name]:
            score = scores[identity, name]
            assert (score.outcome, reason in score.reason) == ("error", True), score.reason
    assert {scores[identity, "floods"].outcome for identity in asked["floods"]} == {"pass"}
    hung = scores[both, "hangs"]
    assert hung.outcome == "error"
    assert scores[both, "good"].ts < hung.ts - 1000, "nor for another pair of the same request"


def _limit(name: str) -> dict[str, float]:
    return {"timeout": 3.0} if name in ("hangs", "spins") else {}


def test_a_host_that_the_operator_does_not_allow_is_refused_with_the_setting(site: Site) -> None:
    body = "import urllib.request; urllib.request.urlopen('https://example.com/', timeout=5); return 1.0"
    version = site.plain("curious", body)
    score = site.score(site.ask({}, ("curious", version)), "curious")
    assert (score.outcome, "403 Forbidden" in score.reason) == ("error", True), score.reason
    assert "VEDETTE_EGRESS_ALLOW" in site.runner.log()


def test_a_scorer_is_tried_by_a_command(site: Site, tmp_path: Path) -> None:
    site.plain("talks", "print('looking at', example.n); self.reason = 'seen'; return 0.25")
    (tmp_path / "example.json").write_text('{"n": 7}')
    told = {"VEDETTE_API_URL": site.api.url, "VEDETTE_ADMIN_KEY": site.key}
    command = [
        sys.executable,
        "-m",
        "streams.cli",
        "scorers",
        "try",
        "talks",
        "--example",
        "example.json",
        "-p",
        "shop",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | told, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["fail 0.25 (threshold 0.5)", "reason:  seen"]
    assert lines[-2:] == ["log:", "looking at 7"]


def test_a_scorer_finds_on_itself_what_a_request_asks_for_and_nothing_of_another_request(site: Site) -> None:
    body = "self.reason = f'{self.threshold} {self.model} {getattr(self, \"options\", None)}'; return 0.6"
    version = site.plain("asked", body)
    named = {"threshold": 0.9, "model": "gpt-5-mini", "options": '{"strict":true}'}
    asked = [site.ask({}, ("asked", version), **own) for own in (named, {}, {"threshold": 0.0})]
    scores = [site.score(identity, "asked") for identity in asked]
    assert [(score.outcome, score.threshold, score.reason) for score in scores] == [
        ("fail", 0.9, "0.9 gpt-5-mini {'strict': True}"),
        ("pass", 0.5, "0.5 None None"),
        ("pass", 0.0, "0.0 None None"),
    ]


def test_a_scorer_of_traces_sees_the_whole_trace_and_skips_examples(site: Site) -> None:
    version = site.upload("Handed over", OF_TRACES)
    spans = [{"name": "plan", "agent": "Planner"}, {"name": "search", "agent": "Researcher"}]
    trace = site.ask({"input": "q", "output": "done", "spans": spans}, ("Handed over", version), kind="trace")
    example = site.ask({"output": "done"}, ("Handed over", version))
    found = site.score(trace, "Handed over")
    assert (found.outcome, found.value, found.reason) == ("pass", 1.0, "Planner to Researcher: done")
    assert (found.subject_kind, found.subject_id) == ("trace", trace)
    assert site.score(example, "Handed over").outcome == "skipped"


async def test_a_runner_that_starts_removes_what_is_too_much_on_its_disk() -> None:
    with open_folder() as folder:
        for name, used_at in (("long ago", 0.0), ("today", time.time())):
            kept = folders.make(folders.make(folder, "packages"), name)
            (kept / "large.py").write_bytes(b"#" * (1 << 20))
            os.utime(kept, (used_at, used_at))
        async with Runner(Settings(runner_dir=folder, runner_disk_mib=1), Configuration):
            pass
        assert [path.name for path in (folder / "packages").iterdir()] == ["today"]


def test_a_runner_that_is_asked_to_leave_leaves_no_sandbox(site: Site) -> None:
    """The last test: the runner is gone afterwards."""
    children = set(_below(site.runner.process.pid))
    assert children
    assert site.runner.terminate() == 0
    site.installation.until(lambda: not any(_lives(pid) for pid in children), patience_s=5)


def _lives(pid: int) -> bool:
    """Whether it does anything: who is dead and not yet fetched by init does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _below(int(child))
