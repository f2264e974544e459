"""Pure decisions: no clock, no Kafka, no I/O. Time, randomness and ids come in as arguments."""
