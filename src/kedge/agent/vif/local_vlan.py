"""How networks share the integration bridge and stay apart on it: local VLANs.

Each segment that is used on a host has a VLAN id of its own on the integration bridge, which means nothing
elsewhere: its VIFs are access ports of that VLAN. A pair of patch ports joins the integration bridge to
the bridge of each physical network, and flows at either end translate between the local VLAN and the segment's
tag, or none for a flat one. Nothing else passes: each end drops what no flow translates.

The integration bridge must be in fail mode `secure`. After a restart of ovs-vswitchd it then passes nothing
until the flows are there again, where a standalone bridge would carry local VLANs to the wire as they are.
The fail mode of a physical network's bridge is left as it was found, for it may carry the host's own traffic.

The numbers are kept in the integration bridge's own `external_ids`, so that they outlive the agent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from kedge.model.errors import HostFailure
from kedge.model.network import NetworkType, Segment

from . import openflow, ovs_changes
from . import ovs_client as ovs
from .base import vlan_of
from .openflow import DROP, NORMAL, STRIP_VLAN, UNTAGGED, Flow, match, set_vlan
from .ovsdb import Operation

COOKIE = 0x6B65646765  # "kedge"
PATCH_MARK = "kedge-patch"
VLAN_KEY = "kedge-vlan:"
_NOT_JOINED = "kedge-not-joined-yet"
_LOCAL_VLANS = range(1, 4095)


@dataclass(frozen=True)
class Patch:
    """The patch ports between the integration bridge and a physical network's, with their OpenFlow numbers."""

    integration: str
    physical: str
    inner: int
    outer: int


def inner_name(physical: str) -> str:
    """The patch port on the integration bridge that leads to the bridge `physical`; the name is Neutron's."""
    return f"int-{physical}"


def outer_name(physical: str) -> str:
    """The patch port on the bridge `physical` that leads to the integration bridge; the name is Neutron's."""
    return f"phy-{physical}"


def ensure(integration: str, physical: str, segment: Segment) -> int:
    """The segment's local VLAN on `integration`, with all that joins it to the bridge `physical`.

    Mends what is missing; what it changes last, ovs-vswitchd may still have to carry out (`ovs.wait`). Raises
    HostFailure if a bridge is missing, or a patch port is someone else's.
    """
    switch = ovs.look()
    _require_bridges(switch, integration, physical)
    local = _number(switch, integration, segment)
    switch, patch = _ensure_numbered_patch(switch, integration, physical, segment, local)
    # Every patch drops before anything is switched, those of other physical networks too: after a restart of
    # ovs-vswitchd all flows are gone. Then the way out before the way in: no VM hears what it can't answer.
    _ensure_flows(
        [(each.physical, _outer_drop(each)) for each in _own_patches(switch, integration)]
        + [(integration, _inner_drop(each)) for each in _own_patches(switch, integration)]
        + [(integration, _SWITCH)]
        + ([(physical, _SWITCH)] if _needs_switching(switch, physical) else [])
        + [(physical, _outgoing(patch, segment, local)), (integration, _incoming(patch, segment, local))]
    )
    if not _is_joined(switch, physical):
        _join(patch)
    return local


def verified(switch: ovs.Switch, integration: str, physical: str, segment: Segment) -> int | None:
    """The segment's local VLAN if all that joins it to `physical` is in place; else None."""
    patch = _patch(switch, integration, physical)
    if patch is None or not _is_joined(switch, physical) or not switch.bridges[integration].secure:
        return None
    local = _numbers(switch, integration).get(_key(segment))
    if local is None:
        return None
    inner = {_SWITCH, _inner_drop(patch), _incoming(patch, segment, local)}
    outer = {_outer_drop(patch), _outgoing(patch, segment, local)}
    outer |= {_SWITCH} if _needs_switching(switch, physical) else set()
    there = inner <= ovs.flows(integration, COOKIE) and outer <= ovs.flows(physical, COOKIE)
    return local if there else None


def learned_at(switch: ovs.Switch, bridge: str, name: str, tag: int | None) -> list[tuple[str, str, int]]:
    """The bridges that learn the MACs behind a port, which may be still to come: each with its own port to it, and the
    VLAN (0 for none).
    """
    found = [(bridge, name, tag or 0)]
    for key, local in _numbers(switch, bridge).items():
        if local == tag:
            vlan = _segment(key).segmentation_id or 0
            found += [
                (patch.physical, outer_name(patch.physical), vlan) for patch in _own_patches(switch, bridge)
            ]
    return found


def release() -> None:
    """On every bridge, remove the local VLANs that no port has any more, and patch ports that carry none."""
    switch = ovs.look()
    for integration in switch.bridges:
        _release(switch, integration)


def unused(switch: ovs.Switch, integration: str) -> list[str]:
    """The local VLANs of a bridge that no port has, by their keys."""
    used = {port.tag for port in switch.ports.values() if port.bridge == integration}
    return [key for key, local in _numbers(switch, integration).items() if local not in used]


def networks_in_use(switch: ovs.Switch, integration: str) -> set[str]:
    """The physical networks that some port of an integration bridge is joined to by its local VLAN."""
    idle = set(unused(switch, integration))
    return {_segment(key).physical_network for key in _numbers(switch, integration) if key not in idle}


def expected_flows(switch: ovs.Switch, integration: str) -> set[tuple[str, Flow]]:
    """Every flow, with its bridge, that the patches and local VLANs of an integration bridge explain."""
    explained = {(integration, _SWITCH)}
    for patch in _own_patches(switch, integration):
        explained |= {
            (integration, _inner_drop(patch)),
            (patch.physical, _outer_drop(patch)),
            (patch.physical, _SWITCH),
        }
        for key, local in _numbers(switch, integration).items():
            segment = _segment(key)
            if segment.physical_network == patch_network(switch, patch.physical):
                explained.add((integration, _incoming(patch, segment, local)))
                explained.add((patch.physical, _outgoing(patch, segment, local)))
    return explained


def patch_network(switch: ovs.Switch, physical: str) -> str:
    """The physical network that the patch to this bridge was made for."""
    return switch.ports[inner_name(physical)].external_ids[PATCH_MARK]


def patches(switch: ovs.Switch, integration: str) -> dict[str, str]:
    """The physical network of each whole patch of an integration bridge, by the physical network's bridge."""
    return {
        patch.physical: patch_network(switch, patch.physical) for patch in _own_patches(switch, integration)
    }


def _release(switch: ovs.Switch, integration: str) -> None:
    keys, kept = unused(switch, integration), networks_in_use(switch, integration)
    changes = ovs_changes.forget_ids(integration, keys)
    guards: list[tuple[str, Flow]] = []
    for patch in _own_patches(switch, integration):
        network = patch_network(switch, patch.physical)
        _remove_flows(switch, patch, [key for key in keys if _segment(key).physical_network == network])
        if network not in kept:
            for name in (inner_name(patch.physical), outer_name(patch.physical)):
                changes += ovs_changes.remove_port(switch.ports[name].bridge, switch.ports[name].uuid)
            guards += [(integration, _inner_drop(patch)), (patch.physical, _outer_drop(patch))]
    if changes:
        ovs.change(changes)
    if guards:
        ovs.wait()
    # The ports went before the flows that guard them.
    for bridge, guard in guards:
        openflow.remove(bridge, [guard])


def _remove_flows(switch: ovs.Switch, patch: Patch, keys: Sequence[str]) -> None:
    """Remove the flows of these local VLANs at both ends of a patch."""
    numbers = _numbers(switch, patch.integration)
    segments = [(_segment(key), numbers[key]) for key in keys]
    if segments:
        openflow.remove(patch.integration, [_incoming(patch, *each) for each in segments])
        openflow.remove(patch.physical, [_outgoing(patch, *each) for each in segments])


def _require_bridges(switch: ovs.Switch, integration: str, physical: str) -> None:
    for name in (integration, physical):
        if name not in switch.bridges:
            raise HostFailure(
                f"there is no Open vSwitch bridge {name} on this host; make it, or mend the mappings"
            )
    types = [switch.bridges[name].datapath_type for name in (integration, physical)]
    if types[0] != types[1]:
        raise HostFailure(
            f"{integration} has datapath_type {types[0]} and {physical} has {types[1]}; "
            "nothing passes between the two, so set them alike"
        )


def _patch(switch: ovs.Switch, integration: str, physical: str) -> Patch | None:
    inner, outer = (switch.ports.get(name) for name in (inner_name(physical), outer_name(physical)))
    if inner is None or outer is None or inner.number is None or outer.number is None:
        return None
    if (inner.bridge, outer.bridge) != (integration, physical):
        return None
    if PATCH_MARK not in inner.external_ids or PATCH_MARK not in outer.external_ids:
        return None
    return Patch(integration, physical, inner.number, outer.number)


def _ensure_numbered_patch(
    switch: ovs.Switch, integration: str, physical: str, segment: Segment, local: int
) -> tuple[ovs.Switch, Patch]:
    """Note the number and make both patch ports, not yet joined: first the flows must be there that drop the rest."""
    changes: list[Operation] = []
    key = _key(segment)
    if key not in _numbers(switch, integration):
        changes += ovs_changes.set_bridge(integration, {"external_ids": {key: str(local)}})
    patch = _patch(switch, integration, physical)
    secure = switch.bridges[integration].secure
    if not secure:
        # This empties the flow table, so what it needs follows at once. It happens once for a bridge.
        changes += ovs_changes.set_bridge(integration, {"fail_mode": "secure"})
    if patch is None:
        changes += _patch_ports(switch, integration, physical, segment.physical_network)
    if changes:
        ovs.change(changes)
    if patch is None or not secure:
        ovs.wait()
        switch = ovs.look()
        patch = _patch(switch, integration, physical)
    if patch is None:
        raise HostFailure(
            f"Open vSwitch made no patch between {integration} and {physical}; see ovs-vswitchd's log"
        )
    return switch, patch


def _patch_ports(
    switch: ovs.Switch, integration: str, physical: str, physical_network: str
) -> list[Operation]:
    changes: list[Operation] = []
    for bridge, name in ((integration, inner_name(physical)), (physical, outer_name(physical))):
        port = switch.ports.get(name)
        if port is not None and (PATCH_MARK not in port.external_ids or port.bridge != bridge):
            raise HostFailure(
                f"there is a port {name} on {port.bridge} that Kedge did not make; does another agent serve {bridge}?"
            )
        mark = {"external_ids": {PATCH_MARK: physical_network}}
        ends = {"type": "patch", "options": {"peer": _NOT_JOINED}}
        changes += (
            ovs_changes.add_port(bridge, name, mark, ends)
            if port is None
            else ovs_changes.set_port(name, mark, ends)
        )
    return changes


def _is_joined(switch: ovs.Switch, physical: str) -> bool:
    inner, outer = (switch.ports.get(name) for name in (inner_name(physical), outer_name(physical)))
    return inner is not None and outer is not None and (inner.peer, outer.peer) == (outer.name, inner.name)


def _join(patch: Patch) -> None:
    """Let frames pass; the ports keep their numbers from now on, for the flows go by them."""
    inner, outer = inner_name(patch.physical), outer_name(patch.physical)
    ovs.change(
        [
            *ovs_changes.set_interface(inner, {"options": {"peer": outer}, "ofport_request": patch.inner}),
            *ovs_changes.set_interface(outer, {"options": {"peer": inner}, "ofport_request": patch.outer}),
        ]
    )


def _number(switch: ovs.Switch, integration: str, segment: Segment) -> int:
    """The segment's local VLAN; a new one is none that any port has, Kedge's or not."""
    numbers = _numbers(switch, integration)
    key = _key(segment)
    if key in numbers:
        return numbers[key]
    taken = {port.tag for port in switch.ports.values()} | set(numbers.values())
    local = next((vlan for vlan in _LOCAL_VLANS if vlan not in taken), None)
    if local is None:
        raise HostFailure(f"all {len(_LOCAL_VLANS)} local VLANs of {integration} are in use")
    return local


def _numbers(switch: ovs.Switch, integration: str) -> dict[str, int]:
    ids = switch.bridges[integration].external_ids
    return {key: int(value) for key, value in ids.items() if key.startswith(VLAN_KEY)}


def _key(segment: Segment) -> str:
    return f"{VLAN_KEY}{segment.physical_network}:{vlan_of(segment) or 'flat'}"


def _segment(key: str) -> Segment:
    physical_network, _, vlan = key.removeprefix(VLAN_KEY).rpartition(":")
    if vlan == "flat":
        return Segment(NetworkType.FLAT, physical_network)
    return Segment(NetworkType.VLAN, physical_network, int(vlan))


def _needs_switching(switch: ovs.Switch, physical: str) -> bool:
    """Whether the bridge switches nothing by itself: it is secure, or somebody has wiped all of its flows."""
    if switch.bridges[physical].secure:
        return True
    return all(flow.cookie == COOKIE for flow in ovs.all_flows(physical))


_SWITCH = Flow(COOKIE, 0, match(), NORMAL)


def _inner_drop(patch: Patch) -> Flow:
    return Flow(COOKIE, 2, match(patch.inner), DROP)


def _outer_drop(patch: Patch) -> Flow:
    return Flow(COOKIE, 2, match(patch.outer), DROP)


def _incoming(patch: Patch, segment: Segment, local: int) -> Flow:
    return Flow(COOKIE, 3, match(patch.inner, vlan_of(segment) or UNTAGGED), set_vlan(local) + NORMAL)


def _outgoing(patch: Patch, segment: Segment, local: int) -> Flow:
    vlan = vlan_of(segment)
    retag = set_vlan(vlan) if vlan else STRIP_VLAN
    return Flow(COOKIE, 4, match(patch.outer, local), retag + NORMAL)


def _ensure_flows(wanted: Sequence[tuple[str, Flow]]) -> None:
    """Add the flows that are missing on their bridges, in this order."""
    there = {bridge: ovs.flows(bridge, COOKIE) for bridge, _ in wanted}
    missing = [(bridge, flow) for bridge, flow in wanted if flow not in there[bridge]]
    for bridge, group in groupby(missing, key=itemgetter(0)):
        openflow.add(bridge, [flow for _, flow in group])


def _own_patches(switch: ovs.Switch, integration: str) -> list[Patch]:
    names = [port.name for port in switch.ports.values() if port.bridge == integration]
    patches = (
        _patch(switch, integration, name.removeprefix("int-")) for name in names if name.startswith("int-")
    )
    return [patch for patch in patches if patch is not None]
