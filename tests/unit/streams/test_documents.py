"""Documents out of files: every error has its line, its column and what to write instead."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from streams.document_files import Source, Unreadable, parse, plain, read
from streams.documents import Invalid, check, json_schema, with_project

WRONG = """\
apiVersion: vedette/v1
kind: Rule
metadata: {name: Package Inquiry Failures, descripton: x}
spec:
  when: {all: [{scorer: Package Inquiry Scorer, is: failz}]}
  tims: 3
  group_by: [agnt]
  within: 5 parsecs
  actions: [{notifi: oncall-slack}]
---
kind: Ruel
---
apiVersion: vedette/v1
kind: Destination
metadata: {name: a/b}
spec: {type: slak}
---
apiVersion: vedette/v1
kind: Destination
metadata: {name: a}
spec: {type: slack, token: xoxb-secret}
---
apiVersion: vedette/v2
kind: Scorer
metadata: {name: a}
spec:
  type: contains
  online:
    - target: span
      sampling_rate: 2
---
just a text
"""

EXPLAINED = """\
rules.yaml:3:44: metadata.descripton: unknown key; did you mean `description`?
rules.yaml:5:49: spec.when.all[0].is: should be 'fails', 'succeeds' or 'errors'
rules.yaml:7:3: spec.group_by: cannot group by 'agnt'; use agent, customer, session or attribute:KEY
rules.yaml:8:3: spec.within: '5 parsecs' is no duration; write for example 5m, 90s or 1h
rules.yaml:9:13: spec.actions[0]: `notify` is missing
rules.yaml:9:14: spec.actions[0].notifi: unknown key; did you mean `notify`?
rules.yaml:6:3: spec.tims: unknown key; did you mean `times`?
rules.yaml:11:1: kind: 'Ruel' is no kind; did you mean `Rule`?
rules.yaml:15:12: metadata.name: 'a/b' cannot be a name: use 1 to 200 characters without @, / and control characters
rules.yaml:16:1: spec: 'slak' is unknown; did you mean `slack`?
rules.yaml:21:21: spec.token: is a secret; write {env: NAME} and set NAME in the environment
rules.yaml:23:1: apiVersion: should be 'vedette/v1'
rules.yaml:30:7: spec.online[0].sampling_rate: should be less than or equal to 1
rules.yaml:1:1: is no document; a document has apiVersion, kind, metadata and spec
"""

EXAMPLES = """\
apiVersion: vedette/v1
kind: Scorer
metadata: {name: Mentions the parcel, project: default}
spec:
  type: contains
  with: {field: output, any: [parcel, package]}
  threshold: 0.5
  online:
    - {target: span, filter: {kind: llm, agent: CustomerServiceAgent}, sampling_rate: 0.25}
---
apiVersion: vedette/v1
kind: Destination
metadata: {name: oncall-slack}
spec: {type: slack, token: {env: SLACK_BOT_TOKEN}, channel: "#agents", base_url: "http://127.0.0.1:1/api/"}
---
apiVersion: vedette/v1
kind: Destination
metadata: {name: oncall-mail}
spec: {type: email, to: [oncall@example.com], from: vedette@example.com, smtp: {host: 127.0.0.1, port: 2525, tls: none}}
---
apiVersion: vedette/v1
kind: Provider
metadata: {name: openai}
spec: {type: openai, api_key: {env: OPENAI_API_KEY}, models: [gpt-5-mini], requests_per_minute: 600, budget_usd_per_day: 5}
---
apiVersion: vedette/v1
kind: Rule
metadata: {name: Package Inquiry Failures, description: Alert when the agent fails to address package inquiries}
spec:
  enabled: true
  when: {all: [{scorer: Package Inquiry Scorer, is: fails}]}
  filter: {agent: CustomerServiceAgent, environment: production}
  group_by: [agent]
  per: subject
  times: 3
  within: 5m
  cooldown: 30m
  severity: warning
  actions: [{notify: oncall-slack}, {notify: oncall-mail}, {email: [me@example.com]}, {dataset: package-inquiry-failures}]
---
apiVersion: vedette/v1
kind: Rule
metadata: {name: Any of several}
spec:
  when:
    any:
      - {scorer: s, op: "<", value: 0.5}
      - {metric: duration_ms, op: ">=", value: 1000}
      - {attribute: http.status, op: "==", value: 500}
      - {tag: vip}
  within: 90
  resolve_after: 1h30m
"""


def explained(text: str, file: str = "rules.yaml") -> str:
    lines: list[str] = []
    for source in parse(text, file):
        try:
            check(source.data())
        except Invalid as error:
            lines += [source.explain(problem) for problem in error.problems]
    return "".join(f"{line}\n" for line in lines)


def test_every_problem_is_told_with_its_place_and_what_to_write() -> None:
    assert explained(WRONG) == EXPLAINED


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "f.yaml:1:6: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\na: 2", 'f.yaml:2:1: found duplicate key "a", which stands there twice'),
        ("a: b: c", "f.yaml:1:5: mapping values are not allowed here"),
        ("a: !!python/object:os.system {}", None),
    ],
)
def test_text_that_is_no_yaml_is_told_with_its_place(text: str, told: str | None) -> None:
    if told is None:
        assert [source.data() for source in parse(text, "f.yaml")] == [{"a": {}}]
        return
    with pytest.raises(Unreadable) as error:
        parse(text, "f.yaml")
    assert error.value.lines == (told,)


def test_the_examples_satisfy_the_json_schema_and_the_models_alike() -> None:
    schema = Draft202012Validator(json_schema())
    Draft202012Validator.check_schema(json_schema())
    sources = parse(EXAMPLES, "examples.yaml")
    assert [[error.message for error in schema.iter_errors(source.data())] for source in sources] == [[]] * 6
    assert [type(check(source.data())).__name__ for source in sources] == [
        "Scorer", "Destination", "Destination", "Provider", "Rule", "Rule",
    ]  # fmt: skip
    wrong = [source.data() for source in parse(WRONG, "rules.yaml")]
    assert [schema.is_valid(data) for data in wrong] == [False] * len(wrong)


def test_json_with_tabs_a_list_of_documents_and_a_directory_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.json").write_text('[\n\t{"kind":\t"B1"},\n\t{"kind": "B2"}\n]')
    (tmp_path / "deep" / "a.yml").write_text("kind: A\n---\n---\nkind: A2\n")
    (tmp_path / "notes.txt").write_text("not: read")
    found = [(Path(s.file).name, s.line, s.column, s.data()) for s in read([tmp_path])]
    assert found == [
        ("b.json", 2, 2, {"kind": "B1"}),
        ("b.json", 3, 2, {"kind": "B2"}),
        ("a.yml", 1, 1, {"kind": "A"}),
        ("a.yml", 4, 1, {"kind": "A2"}),
    ]


def test_paths_that_hold_nothing_are_told_all_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(Unreadable) as error:
        read([missing, tmp_path / "bytes.yaml"])
    assert [line.split(": ")[1] for line in error.value.lines] == ["cannot be read", "cannot be read"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Unreadable, match=r"holds no \.yaml, \.yml, \.json files"):
        read([empty])


def test_yaml_becomes_the_plain_data_of_json() -> None:
    (source,) = parse("a: 2026-01-02\nb: 0x10\nc: 1.50\nd: yes\ne: ~\nf: [&x {g: true}, *x]\n1: 2\n", "f.yaml")
    data = source.data()
    assert data == {
        "a": "2026-01-02", "b": 16, "c": 1.5, "d": "yes", "e": None, "f": [{"g": True}, {"g": True}], "1": 2,
    }  # fmt: skip
    assert {type(data["b"]), type(data["c"]), type(data["d"]), type(data["f"])} == {int, float, str, list}
    assert plain((1, "x")) == [1, "x"]


def test_the_project_of_a_command_is_taken_unless_the_document_names_another() -> None:
    assert with_project({"metadata": {"name": "n"}}, "p") == {"metadata": {"name": "n", "project": "p"}}
    assert with_project({"metadata": {"name": "n", "project": "p"}}, "p") == {"metadata": {"name": "n", "project": "p"}}
    assert with_project({"metadata": {"name": "n"}}, None) == {"metadata": {"name": "n"}}
    assert with_project("no document", "p") == "no document"
    (source,) = parse("kind: Rule\nmetadata:\n  project: q\n", "f.yaml")
    with pytest.raises(Invalid) as error:
        with_project(source.data(), "p")
    assert [source.explain(problem) for problem in error.value.problems] == [
        "f.yaml:3:3: metadata.project: is q, but the command is for p; leave one of them out"
    ]


def test_a_problem_without_a_place_in_the_file_is_told_at_the_document() -> None:
    source = Source("f.yaml", {}, 7, 2)
    with pytest.raises(Invalid) as error:
        check({})
    assert source.explain(error.value.problems[0]) == (
        "f.yaml:7:2: `kind` is missing; there are Scorer, Destination, Provider, Rule, Silence"
    )
