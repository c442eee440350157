"""Sending whole Ethernet frames out of a device."""

import socket
from collections.abc import Sequence

from kedge.model.errors import HostFailure


def send(device: str, frames: Sequence[bytes]) -> None:
    """Send frames out of `device`, as they are; raises HostFailure if the kernel refuses."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((device, 0))
            for frame in frames:
                raw.send(frame)
    except OSError as error:
        raise HostFailure(f"can't send out of {device}: {error}") from error
