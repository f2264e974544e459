"""`python -m streams.cli`: what the local stack starts its jobs with."""

from streams.cli.app import app

app(prog_name="vedette")
