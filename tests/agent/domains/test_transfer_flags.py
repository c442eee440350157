"""What libvirt is told of an order's options."""

from dataclasses import replace

import libvirt
import pytest

from kedge.agent.domains.transfer_flags import flags, parameters
from kedge.model.domain import TransferOrder

PLAIN = TransferOrder("m1", "uuid", 1, "qemu+tls://b/system", "tcp://192.0.2.2", "<domain/>")


def test_an_ordinary_transfer_has_one_connection() -> None:
    assert not flags(PLAIN) & (libvirt.VIR_MIGRATE_PARALLEL | libvirt.VIR_MIGRATE_COMPRESSED)
    assert not {"parallel.connections", "compression"} & parameters(PLAIN).keys()


@pytest.mark.parametrize("level", [None, 7])
def test_parallel_connections_and_what_is_done_on_them(level: int | None) -> None:
    parallel = replace(PLAIN, connections=4)
    assert flags(parallel) == flags(PLAIN) | libvirt.VIR_MIGRATE_PARALLEL
    assert parameters(parallel)[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] == 4

    zstd = replace(parallel, compression="zstd", compression_level=level)
    assert flags(zstd) == flags(parallel) | libvirt.VIR_MIGRATE_COMPRESSED
    chosen = parameters(zstd)
    assert chosen[libvirt.VIR_MIGRATE_PARAM_COMPRESSION] == "zstd"
    assert chosen.get("compression.zstd.level") == level
