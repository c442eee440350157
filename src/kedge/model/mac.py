"""MAC addresses, which may be written in several ways."""

from functools import lru_cache


@lru_cache(maxsize=4096)
def normal_mac(text: str) -> str:
    """The address as the kernel writes it: lower case, two digits in each part.

    libvirt takes `0:1:2:A:b:C` as well (virMacAddrParse). What is no MAC address is only put in lower case, so that it
    is not taken for another one.
    """
    lower = text.strip().lower()
    parts = lower.split(":")
    if len(parts) != 6 or not all(0 < len(part) <= 2 for part in parts):
        return lower
    return ":".join(part.zfill(2) for part in parts)
