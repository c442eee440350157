"""What libvirt is told of a transfer's options, in its own words."""

from typing import Any

import libvirt

from kedge.model.domain import TransferOrder

_FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
)
_ZSTD_LEVEL = "compression.zstd.level"  # VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL, since libvirt 9.4


def flags(order: TransferOrder) -> int:
    """virDomainMigrateFlags for an order."""
    value = _FLAGS
    if order.auto_converge:
        value |= libvirt.VIR_MIGRATE_AUTO_CONVERGE
    if order.postcopy:
        value |= libvirt.VIR_MIGRATE_POSTCOPY
    if order.connections:
        value |= libvirt.VIR_MIGRATE_PARALLEL
    if order.compression:
        value |= libvirt.VIR_MIGRATE_COMPRESSED
    if order.recover:
        value |= libvirt.VIR_MIGRATE_POSTCOPY_RESUME
    return int(value)


def parameters(order: TransferOrder) -> dict[str, Any]:
    """The typed parameters of virDomainMigrateToURI3 for an order."""
    if order.recover:
        return {libvirt.VIR_MIGRATE_PARAM_URI: order.migrate_uri}
    chosen: dict[str, Any] = {
        libvirt.VIR_MIGRATE_PARAM_URI: order.migrate_uri,
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: order.destination_xml,
        # Without it, the VM's next boot would bring the source's network back.
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: order.destination_xml,
    }
    if order.bandwidth_mib:
        chosen[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = order.bandwidth_mib
    if order.connections:
        chosen[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] = order.connections
    if order.compression:
        chosen[libvirt.VIR_MIGRATE_PARAM_COMPRESSION] = order.compression
    if order.compression_level is not None:
        chosen[_ZSTD_LEVEL] = order.compression_level
    return chosen


def mib_or_unlimited(bandwidth_mib: int) -> int:
    """A bandwidth as virDomainMigrateSetMaxSpeed takes it."""
    # libvirt takes 0 for 0; its own "unlimited" is INT64_MAX bytes, in MiB.
    return bandwidth_mib or (2**63 - 1) // 2**20
