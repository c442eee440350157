"""Where a new subnet's block is from: its maker names it, a subnet pool gives it, or a router will be told it."""

from dataclasses import dataclass

from kedge.model.errors import BadRequest

from ..addresses import IpNetwork, checked_cidr, checked_subnet
from ..errors import InvalidInput
from . import delegation, subnet_pools
from .work import Work


@dataclass(frozen=True)
class WantedBlock:
    """What the maker of a subnet says of its block. `subnetpool_id` may be that of prefix delegation."""

    cidr: str | None = None
    prefixlen: int | None = None
    ip_version: int | None = None
    subnetpool_id: str | None = None
    use_default_subnetpool: bool = False

    def found(self, work: Work, project_id: str) -> tuple[IpNetwork, str | None]:
        """The block, and the id of where it is from; None if its maker names it.

        Raises InvalidInput, BadRequest and what `subnet_pools.take` raises.
        """
        if self.cidr is not None and self.prefixlen is not None:
            raise BadRequest("cidr and prefixlen must not be supplied together; a cidr holds its length.")
        pool_id = self._pool_id(work)
        if pool_id == delegation.POOL:
            return delegation.PROVISIONAL, pool_id
        if pool_id is not None:
            block = subnet_pools.take(
                work,
                pool_id,
                project_id,
                cidr=self.cidr,
                prefixlen=self.prefixlen,
                ip_version=self.ip_version,
            )
            return block, pool_id
        if self.cidr is None:
            raise InvalidInput("A subnet needs a cidr, or a subnetpool_id that its block is taken from.")
        block = checked_subnet(self.cidr)
        if self.ip_version not in (None, block.version):
            raise InvalidInput(f"{self.cidr} is of IP version {block.version}, not {self.ip_version}.")
        return block, None

    def _pool_id(self, work: Work) -> str | None:
        if not self.use_default_subnetpool:
            return self.subnetpool_id
        if self.subnetpool_id is not None:
            raise BadRequest("subnetpool_id and use_default_subnetpool cannot both be specified.")
        version = self.ip_version if self.cidr is None else checked_cidr(self.cidr).version
        if version is None:
            raise BadRequest("ip_version must be specified in the absence of cidr and subnetpool_id.")
        return subnet_pools.default_pool_id(work, version)
