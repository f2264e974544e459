"""How a command fails: one sentence on stderr and an exit code."""

DONE, FAILED, USAGE, FINDINGS = 0, 1, 2, 3


class Failure(Exception):
    """A command cannot do what it was asked; the text says why and what to do."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
