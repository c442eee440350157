"""What a server takes of a host, and what an operator has said of a host and of servers for placing them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1 << 20
LABEL_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?")
"""What the key and the value of a label are made of."""


@dataclass(frozen=True)
class Demand:
    """What a server takes of the host it is on.

    Attributes:
        memory: in bytes; 0 where it is not known.
        vcpus: how many virtual CPUs it has; 0 where it is not known.
        huge_page: in bytes, the size of the huge pages that its memory is in; 0 for the host's usual size, None
            for ordinary memory.
    """

    memory: int = 0
    vcpus: int = 0
    huge_page: int | None = None


@dataclass(frozen=True)
class HostLimits:
    """How much of a host servers may be promised in all.

    Attributes:
        memory_overcommit: its memory counts so many times.
        memory_reserve_mib: is kept from that, in MiB, for the host itself and what else runs there.
        vcpu_overcommit: its CPUs count so many times, for virtual ones; 16 is what Nova's `cpu_allocation_ratio` was.
        vcpus: so many virtual CPUs; None for as many as the ratio allows.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's, and no field

    memory_overcommit: float = 1.0
    memory_reserve_mib: int = 0
    vcpu_overcommit: float = 16.0
    vcpus: int | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.memory_overcommit <= 16.0:
            raise ValueError(
                f"memory_overcommit is {self.memory_overcommit:g}; give a number from 1 to 16"
                " (memory that servers may not have is memory_reserve_mib)"
            )
        if not 0 <= self.memory_reserve_mib < 1 << 30:
            raise ValueError(f"memory_reserve_mib is {self.memory_reserve_mib}; give a number of MiB, or 0")
        if not 1.0 <= self.vcpu_overcommit <= 1000.0:
            raise ValueError(f"vcpu_overcommit is {self.vcpu_overcommit:g}; give a number from 1 to 1000")
        if self.vcpus is not None and not 1 <= self.vcpus <= 100_000:
            raise ValueError(
                f"vcpus is {self.vcpus}; give a number from 1 to 100000, or none for no limit but the ratio"
            )


@dataclass(frozen=True)
class HostSettings:
    """What an operator has said of a host.

    `disabled` is the reason why the host receives no server; None where it does.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    disabled: str | None = None
    limits: HostLimits = HostLimits()
