"""The front door: OTLP and examples over HTTP, on Kafka before they are answered."""
