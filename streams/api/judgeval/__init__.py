"""The calls of the public SDK `judgeval` that the bridge passes on: uploaded code, prompt scorers, results of experiments."""
