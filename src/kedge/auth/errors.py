"""Why a request is not let through; who may not do something gets `kedge.model.errors.Forbidden`."""

from kedge.model.errors import KedgeError


class Unauthenticated(KedgeError):
    """Nobody knows who calls: credentials are missing or wrong."""

    status = 401
