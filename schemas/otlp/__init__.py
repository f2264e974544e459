"""OTLP to canonical spans.

`decode` reads the bytes, `canonical` says them in our words (`dialects` holds the tables, `mask` and `cut` guard every text),
`context` fills in what spans inherit.
"""
