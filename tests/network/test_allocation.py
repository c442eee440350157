"""Which addresses ports are given."""

import pytest

from kedge.model.network import Network
from kedge.network.errors import IpAddressGenerationFailure
from kedge.network.local import networks, ports, subnets
from kedge.network.local.ports import WantedAddress

from .network_world import World


def subnet(world: World, cidr: str, **more: object) -> Network:
    network = world.network()
    with world.service.write() as work:
        subnets.create_subnet(work, network.id, cidr, **more)  # type: ignore[arg-type]
    return network


def port(world: World, network: Network) -> tuple[str, str]:
    """A new port's id and address."""
    made = world.service.create_port(network.id, device_id="")
    return made.id, made.fixed_ips[0]


def test_they_are_given_one_after_the_other(world: World) -> None:
    network = subnet(world, "10.0.0.0/16")
    assert [port(world, network)[1] for _ in range(3)] == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_one_that_became_free_waits_until_all_others_had_their_turn(world: World) -> None:
    network = subnet(world, "10.0.0.0/29")
    made = dict(port(world, network) for _ in range(3))
    assert list(made.values()) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    freed = next(iter(made))
    world.service.delete_port(freed)
    assert [port(world, network)[1] for _ in range(3)] == ["10.0.0.5", "10.0.0.6", "10.0.0.2"]
    with pytest.raises(IpAddressGenerationFailure):
        port(world, network)


def test_a_single_one_that_is_left_is_found_wherever_it_is(world: World) -> None:
    network = subnet(world, "10.0.0.0/24")
    made = [port(world, network) for _ in range(253)]
    world.service.delete_port(made[120][0])
    assert port(world, network)[1] == made[120][1]


def test_an_address_that_was_asked_for_is_where_the_search_goes_on(world: World) -> None:
    network = subnet(world, "10.0.0.0/24")
    with world.service.write() as work:
        ports.create_port(work, networks.network(work, network.id), addresses=[WantedAddress("10.0.0.254")])
    assert port(world, network)[1] == "10.0.0.2"


def test_only_the_pools_are_given_out(world: World) -> None:
    pools = [("10.0.0.10", "10.0.0.11"), ("10.0.0.20", "10.0.0.20")]
    network = subnet(world, "10.0.0.0/24", allocation_pools=pools)
    assert [port(world, network)[1] for _ in range(3)] == ["10.0.0.10", "10.0.0.11", "10.0.0.20"]


def test_a_block_of_ipv6_is_not_counted_through(world: World) -> None:
    network = subnet(world, "fd00::/64")
    assert [port(world, network)[1] for _ in range(2)] == ["fd00::1", "fd00::2"]
