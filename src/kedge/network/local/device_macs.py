"""The MAC address of a port that is a whole device of its host, as Neutron has it.

With all other ports the address goes from the port to the device. A physical function (`direct-physical`) has one
already, and whoever binds the port names it in the binding's profile. So the port has that address as long as such a
binding is ACTIVE, and then one of its own again, for another port may get the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kedge.store.tables import PortRow

from ..errors import InvalidInput
from . import ports, views
from .work import Work

_VNIC_TYPE = "direct-physical"
_KEY = "device_mac_address"


@contextmanager
def followed(work: Work, row: PortRow) -> Iterator[None]:
    """Whatever the block does with the port's bindings, its MAC address is the right one afterwards.

    Raises InvalidInput and MacAddressInUse.
    """
    before = _named(row)
    yield
    now = _named(row)
    if now != before:
        ports.take_mac(work, row, now)


def _named(row: PortRow) -> str | None:
    active = views.active(row)
    if active is None or active.vnic_type != _VNIC_TYPE or not views.is_bound(active):
        return None
    named = active.profile.get(_KEY)
    if named is not None and not isinstance(named, str):
        raise InvalidInput(
            f"{_KEY} {named!r} in a profile is not a MAC address; write it as fa:16:3e:00:00:01."
        )
    return named or None
