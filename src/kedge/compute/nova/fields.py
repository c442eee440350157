"""Which field a server has at which microversion: the one table.

The source is the "REST API Version History" in Nova's documentation, and the schemas that tempest holds Nova to.
"""

from dataclasses import dataclass
from functools import cache

ATTRIBUTES = "OS-EXT-SRV-ATTR:"
STATES = "OS-EXT-STS:"
USAGE = "OS-SRV-USG:"


@dataclass(frozen=True)
class Field:
    """A field of a server.

    Attributes:
        since: the microversion in which it appears; all that are known stay.
        admins_until: up to this microversion it is for admins only; None if it is for all.
        listed: whether it is in lists with details; if not, only in a server that is shown alone.
    """

    name: str
    since: int = 1
    admins_until: int | None = None
    listed: bool = True


_ALWAYS = 10_000  # beyond every microversion
FLAVOR_EMBEDDED = 47
"""From this microversion on, a server's flavor is what it has, and not where that is to be found."""
VOLUMES_SAY_WHETHER_THEY_STAY = 3

SERVER = (
    Field("id"),
    Field("name"),
    Field("status"),
    Field("tenant_id"),
    Field("user_id"),
    Field("metadata"),
    Field("hostId"),
    Field("image"),
    Field("flavor"),
    Field("created"),
    Field("updated"),
    Field("addresses"),
    Field("accessIPv4"),
    Field("accessIPv6"),
    Field("links"),
    Field("OS-DCF:diskConfig"),
    Field("progress"),
    Field("OS-EXT-AZ:availability_zone"),
    Field("config_drive"),
    Field("key_name"),
    Field(f"{USAGE}launched_at"),
    Field(f"{USAGE}terminated_at"),
    Field(f"{ATTRIBUTES}host", admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}instance_name", admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}hypervisor_hostname", admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}reservation_id", since=3, admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}launch_index", since=3, admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}hostname", since=3, admins_until=89),
    Field(f"{ATTRIBUTES}kernel_id", since=3, admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}ramdisk_id", since=3, admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}root_device_name", since=3, admins_until=_ALWAYS),
    Field(f"{ATTRIBUTES}user_data", since=3, admins_until=_ALWAYS),
    Field(f"{STATES}task_state"),
    Field(f"{STATES}vm_state"),
    Field(f"{STATES}power_state"),
    Field("os-extended-volumes:volumes_attached"),
    Field("locked", since=9),
    Field("host_status", since=16, admins_until=_ALWAYS),
    Field("description", since=19),
    Field("tags", since=26),
    Field("trusted_image_certificates", since=63),
    Field("server_groups", since=71, listed=False),
    Field("locked_reason", since=73),
    Field("pinned_availability_zone", since=96),
)


@cache
def shown(version: int, *, admin: bool, listed: bool) -> frozenset[str]:
    """The names of the fields that a server has for this caller at this microversion."""
    return frozenset(
        field.name
        for field in SERVER
        if field.since <= version
        and (admin or field.admins_until is None or version > field.admins_until)
        and (field.listed or not listed)
    )
