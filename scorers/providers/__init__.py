"""Language models of providers that speak OpenAI's protocol: what may be asked, at what cost, with whose key."""
