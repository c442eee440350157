"""What is left of local VLANs that nothing uses: of an agent that was killed while it made or removed them.

Numbers that no port has, patches that carry none of them, patch ports whose other end is gone, and flows with
Kedge's cookie that no patch and no number explains.
"""

from functools import partial

from . import local_vlan, openflow
from . import ovs_client as ovs
from .base import Loose

_OF_NO_PATCH = 0  # The priority of the one flow that lets a bridge switch at all.


def loose() -> list[Loose]:
    """All of it, on every bridge. Raises HostFailure while Open vSwitch does not tell all of it."""
    switch = ovs.look()
    return _numbers(switch) + _half_patches(switch) + _flows(switch)


def _numbers(switch: ovs.Switch) -> list[Loose]:
    found = []
    for integration in switch.bridges:
        unused = local_vlan.unused(switch, integration)
        idle = [
            each for each in local_vlan.patches(switch, integration) if _is_idle(switch, integration, each)
        ]
        if unused or idle:
            what = ", ".join([*unused, *(f"patch to {bridge}" for bridge in idle)])
            found.append(Loose(f"{what} of {integration}", local_vlan.release))
    return found


def _is_idle(switch: ovs.Switch, integration: str, physical: str) -> bool:
    return local_vlan.patch_network(switch, physical) not in local_vlan.networks_in_use(switch, integration)


def _half_patches(switch: ovs.Switch) -> list[Loose]:
    """Patch ports without their other end, where no VIF waits for it to be made again."""
    whole = {
        name
        for integration in switch.bridges
        for physical in local_vlan.patches(switch, integration)
        for name in (local_vlan.inner_name(physical), local_vlan.outer_name(physical))
    }
    needed = {network for bridge in switch.bridges for network in local_vlan.networks_in_use(switch, bridge)}
    return [
        Loose(f"patch port {port.name}", partial(ovs.remove_port, port))
        for port in switch.ports.values()
        if local_vlan.PATCH_MARK in port.external_ids
        and port.name not in whole
        and port.external_ids[local_vlan.PATCH_MARK] not in needed
    ]


def _flows(switch: ovs.Switch) -> list[Loose]:
    expected = {
        flow for integration in switch.bridges for flow in local_vlan.expected_flows(switch, integration)
    }
    return [
        Loose(f"flow of {bridge}: {flow}", partial(openflow.remove, bridge, [flow]))
        for bridge in switch.bridges
        for flow in sorted(ovs.flows(bridge, local_vlan.COOKIE))
        if (bridge, flow) not in expected and flow.priority != _OF_NO_PATCH
    ]
