"""Every call of judgeval's that the api answers: generation A at the root, B below a project's id."""

from streams.api.app import Endpoint
from streams.api.judgeval import bundles, datasets, experiments, prompts, scorers, traces
from streams.api.judgeval.wire import endpoints

P = "/v1/projects/{project}"

ENDPOINTS: tuple[Endpoint, ...] = (
    *endpoints("POST", "/upload_custom_scorer", "keep uploaded code", scorers.upload, "upload", scorers.UPLOAD),
    *endpoints("POST", "/save_scorer", "keep a prompt scorer", scorers.save, "develop", scorers.PROMPT),
    *endpoints("POST", "/scorer_exists", "is there a prompt scorer", scorers.exists, "develop", scorers.NAMED),
    *endpoints("POST", "/fetch_scorers", "prompt scorers", scorers.fetch, "develop", scorers.NAMES),
    *endpoints("GET", f"{P}/scorers", "prompt scorers", scorers.fetch, "develop"),
    *endpoints("GET", f"{P}/scorers/{{name}}/exists", "is there a prompt scorer", scorers.exists, "develop"),
    *endpoints("POST", f"{P}/scorers/custom/bundle", "keep a bundle of one file", bundles.upload, "upload"),
    *endpoints("GET", f"{P}/scorers/custom/{{name}}/exists", "is there a scorer that is code", scorers.custom_exists, "develop"),
    *endpoints("POST", "/fetch_experiment_run", "results of an experiment", experiments.fetch, "read", experiments.RUN),
    *endpoints("GET", f"{P}/experiments/{{run_id}}", "results of an experiment", experiments.fetch, "read"),
    *endpoints("POST", "/add_to_run_eval_queue/traces", "evaluate spans", traces.queue, "ingest", traces.RUN),
    *endpoints("POST", f"{P}/eval-queue/traces", "evaluate spans", traces.queue, "ingest", traces.RUN),
    *endpoints("POST", "/datasets/create_for_judgeval", "make a dataset", datasets.create, "develop", datasets.NEW),
    *endpoints("POST", "/datasets/insert_examples_for_judgeval", "add to a dataset", datasets.insert, "develop", datasets.MORE),
    *endpoints("POST", "/datasets/pull_for_judgeval", "a dataset", datasets.pull, "read", datasets.ASKED),
    *endpoints("POST", "/datasets/pull_all_for_judgeval", "datasets", datasets.list_all, "read", datasets.ASKED),
    *endpoints("GET", f"{P}/datasets", "datasets", datasets.list_all, "read"),
    *endpoints("POST", f"{P}/datasets", "make a dataset", datasets.create, "develop", datasets.NEW),
    *endpoints("GET", f"{P}/datasets/{{name}}", "a dataset", datasets.get, "read"),
    *endpoints("DELETE", f"{P}/datasets/{{name}}", "delete a dataset", datasets.delete, "develop"),
    *endpoints("POST", f"{P}/datasets/{{name}}/examples", "add to a dataset", datasets.insert, "develop", datasets.MORE),
    *endpoints("GET", f"{P}/datasets/{{name}}/page", "some of a dataset", datasets.page, "read"),
    *endpoints("GET", f"{P}/datasets/{{name}}/versions", "when a dataset changed", datasets.versions, "read"),
    *endpoints("POST", "/prompts/insert", "keep a prompt", prompts.insert, "develop", prompts.NEW),
    *endpoints("POST", "/prompts/tag", "tag a prompt", prompts.tag, "develop", prompts.TAGGED),
    *endpoints("POST", "/prompts/untag", "untag a prompt", prompts.untag, "develop", prompts.UNTAGGED),
    *endpoints("GET", "/prompts/fetch", "a prompt", prompts.fetch, "develop"),
    *endpoints("GET", "/prompts/get_prompt_versions", "commits of a prompt", prompts.versions, "develop"),
    *endpoints("POST", f"{P}/prompts", "keep a prompt", prompts.insert, "develop", prompts.NEW),
    *endpoints("GET", f"{P}/prompts/{{name}}", "a prompt", prompts.fetch, "develop"),
    *endpoints("GET", f"{P}/prompts/{{name}}/versions", "commits of a prompt", prompts.versions, "develop"),
    *endpoints("POST", f"{P}/prompts/{{name}}/tags", "tag a prompt", prompts.tag, "develop", prompts.TAGGED),
    *endpoints("DELETE", f"{P}/prompts/{{name}}/tags", "untag a prompt", prompts.untag, "develop", prompts.UNTAGGED),
    Endpoint("GET", "/api/v1/experiments/{run_id}", "results of an experiment", experiments.fetch, "read", ("project",)),
)  # fmt: skip
