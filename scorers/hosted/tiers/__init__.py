"""Ways to hold a sandbox, one a file, the best first."""
