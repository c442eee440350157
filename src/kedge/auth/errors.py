"""Why a request is not let through; who may not do something gets `kedge.model.errors.Forbidden`."""

import math

from kedge.model.errors import KedgeError


class Unauthenticated(KedgeError):
    """Nobody knows who calls: credentials are missing or wrong."""

    status = 401

    def __init__(self, message: str, *, name: str | None = None) -> None:
        """`name`: whom the caller claimed to be, with a wrong proof of it."""
        super().__init__(message)
        self.name = name


class TooManyLogins(KedgeError):
    """The caller is not looked at now, and may come back after `retry_after_s` seconds."""

    status = 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, math.ceil(retry_after_s))
