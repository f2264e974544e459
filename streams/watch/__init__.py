"""The watcher: a canary through every stage of the pipeline, and a page of its own when one does not come through."""
