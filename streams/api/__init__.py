"""The api job: configuration, keys, alerts and status over HTTP; the only writer of `vedette.config`."""
