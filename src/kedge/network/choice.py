"""Who keeps networks, ports and bindings, as the configuration says."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from kedge.config import NetworkConfig
from kedge.model.errors import BadRequest
from kedge.model.vlan_range import VlanRange

from .local import LocalNetworkService
from .service import HostRegistry, NetworkService

_DUTIES_TIMEOUT_S = 3.0  # agents wait for ten seconds, and what they ask is asked again soon


@dataclass(frozen=True)
class Networking:
    """The network service and the registry of hosts.

    `own` is Kedge's own service, which takes the hosts' reports in any case. `cloud` names the cloud whose Neutron
    is the network service; None if `own` is. `close` ends what was begun for it.
    """

    own: LocalNetworkService
    service: NetworkService
    hosts: HostRegistry
    cloud: str | None = None
    close: Callable[[], None] = lambda: None


def networking(config: NetworkConfig, engine: Engine) -> Networking:
    """What is configured. Raises BadRequest if the cloud is not in clouds.yaml, or openstacksdk is not installed."""
    ranges = [*map(VlanRange.parse, config.vlan_ranges)]
    own = LocalNetworkService(engine, vlan_ranges=ranges, rules=config.rules)
    if config.service == "kedge" or config.cloud is None:
        return Networking(own, own, own)
    try:
        from .neutron import Neutron, NeutronHosts, NeutronNetworkService  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise BadRequest(
            f'service = "neutron" needs openstacksdk ({error}); install kedge with its extra: kedge[openstack].'
        ) from error
    service = NeutronNetworkService(Neutron.of_cloud(config.cloud), strategy=config.strategy)
    quick = NeutronNetworkService(
        Neutron.of_cloud(config.cloud, timeout_s=_DUTIES_TIMEOUT_S), strategy=config.strategy
    )

    def close() -> None:
        service.close()
        quick.close()

    return Networking(own, service, NeutronHosts(own, quick, engine), config.cloud, close)
