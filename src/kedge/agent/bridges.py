"""Which interfaces are in which Linux bridge of this host."""

from pathlib import Path

_NET = Path("/sys/class/net")


def bridge_members(net: Path = _NET) -> dict[str, list[str]]:
    """Each Linux bridge with its members, as the kernel shows them in sysfs."""
    return {
        bridge.name: sorted(member.name for member in (bridge / "brif").iterdir())
        for bridge in net.iterdir()
        if (bridge / "brif").is_dir()
    }
