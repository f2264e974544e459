"""Every call of judgeval's that the api answers: generation A at the root, B below a project's id."""

from streams.api.app import Endpoint
from streams.api.judgeval import experiments, scorers
from streams.api.judgeval.wire import endpoints

P = "/v1/projects/{project}"

ENDPOINTS: tuple[Endpoint, ...] = (
    *endpoints("POST", "/upload_custom_scorer", "keep uploaded code", scorers.upload, "upload", scorers.UPLOAD),
    *endpoints("POST", "/save_scorer", "keep a prompt scorer", scorers.save, "develop", scorers.PROMPT),
    *endpoints("POST", "/scorer_exists", "is there a prompt scorer", scorers.exists, "develop", scorers.NAMED),
    *endpoints("POST", "/fetch_scorers", "prompt scorers", scorers.fetch, "develop", scorers.NAMES),
    *endpoints("GET", f"{P}/scorers", "prompt scorers", scorers.fetch, "develop"),
    *endpoints("GET", f"{P}/scorers/{{name}}/exists", "is there a prompt scorer", scorers.exists, "develop"),
    *endpoints("GET", f"{P}/scorers/custom/{{name}}/exists", "is there a scorer that is code", scorers.custom_exists, "develop"),
    *endpoints("POST", "/fetch_experiment_run", "results of an experiment", experiments.fetch, "read", experiments.RUN),
    *endpoints("GET", f"{P}/experiments/{{run_id}}", "results of an experiment", experiments.fetch, "read"),
    Endpoint("GET", "/api/v1/experiments/{run_id}", "results of an experiment", experiments.fetch, "read", ("project",)),
)  # fmt: skip
