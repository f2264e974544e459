"""What a sandbox must stop, tried from within: at a runner's start, in tests, and by `python -m scorers.hosted.attacks`."""
