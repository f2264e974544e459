"""Hosted scorers: uploaded code, built and run in a sandbox."""
