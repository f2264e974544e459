"""What the api answers when it does not do what it was asked."""

from typing import Any


class Refused(Exception):
    """An answer other than 2xx: `{"error": code, "message": what and how to fix it}` and further fields."""

    def __init__(self, status: int, code: str, message: str, further: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": code, "message": message, **(further or {})}
