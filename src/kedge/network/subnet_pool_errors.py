"""Errors of subnet pools, by the names that Neutron gives them."""

from kedge.model.errors import BadRequest, Conflict, NotFound


class SubnetPoolNotFound(NotFound):
    """There is no such subnet pool."""

    def __init__(self, pool_id: str) -> None:
        super().__init__(f"Subnet pool {pool_id} could not be found.")


class EmptySubnetPoolPrefixList(BadRequest):
    """A pool has to have addresses."""

    def __init__(self) -> None:
        super().__init__("Empty subnet pool prefix list.")


class PrefixVersionMismatch(BadRequest):
    """All prefixes of a pool are of one IP version."""

    def __init__(self) -> None:
        super().__init__("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")


class IllegalSubnetPoolPrefixBounds(BadRequest):
    """The lengths of prefixes that a pool gives contradict each other."""

    def __init__(self, name: str, length: int, other: str, others_length: int) -> None:
        super().__init__(f"Illegal prefix bounds: {name}={length}, {other}={others_length}.")


class IllegalSubnetPoolPrefixUpdate(BadRequest):
    """Blocks may have been taken from what a pool would lose."""

    def __init__(self) -> None:
        super().__init__(
            "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes."
        )


class MinPrefixSubnetAllocationError(BadRequest):
    """The pool gives no blocks as large as this."""

    def __init__(self, length: int, least: int) -> None:
        super().__init__(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {least}."
        )


class MaxPrefixSubnetAllocationError(BadRequest):
    """The pool gives no blocks as small as this."""

    def __init__(self, length: int, most: int) -> None:
        super().__init__(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {most}."
        )


class SubnetAllocationError(Conflict):
    """The pool has no such block left."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to allocate subnet: {reason}.")


class SubnetPoolQuotaExceeded(Conflict):
    """The project would have more of the pool than it may."""

    def __init__(self, quota: int, unit: int) -> None:
        super().__init__(  # Neutron's words, and what the quota is
            f"Per-project subnet pool prefix quota exceeded. (A project may have as much of it as {quota} /{unit}.)"
        )


class SubnetPoolDeleteError(BadRequest):
    """Subnets have their blocks from the pool."""

    def __init__(self) -> None:
        super().__init__("Unable to delete subnet pool: Subnet pool has existing allocations.")
