"""What `vedette doctor` looks at: every check is a function that returns results, and nothing else."""
