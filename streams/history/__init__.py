"""What was decided, looked at again: back-tests, audits and explanations, by the functions that decided it."""
