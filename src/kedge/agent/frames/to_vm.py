"""Hands frames to a VM through its own device, and to nobody else."""

import os
import socket
from collections.abc import Sequence

from kedge.agent.vif import ebpf
from kedge.model.errors import HostFailure

from .device_watch import is_macvtap

# What is sent out of a tap goes to the VM. Of a macvtap, what is sent out of it goes to the network, and what comes in
# on it to the VM. So a program redirects the frame to come in there; in which mode the macvtap is makes no difference.
_MOVE, _CALL, _EXIT = 0xB7, 0x85, 0x95
_CLONE_REDIRECT, _COMES_IN = 13, 1


class ToVm:
    """Open on one device, until `close`. Raises HostFailure, also when the device is gone."""

    def __init__(self, device: str) -> None:
        self._program: int | None = None
        try:
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            try:
                self._raw.bind((device, 0))
                if is_macvtap(self._raw, device):
                    self._program = ebpf.load(_comes_in(socket.if_nametoindex(device)))
            except BaseException:
                self._raw.close()
                raise
        except OSError as error:
            raise HostFailure(f"can't hand frames to the VM behind {device}: {error}") from error

    def send(self, frames: Sequence[bytes]) -> None:
        """Hand it these, as they are. Whether the VM takes them in, nobody says."""
        for frame in frames:
            try:
                if self._program is None:
                    self._raw.send(frame)
                elif (returned := ebpf.run(self._program, frame)) < 0:
                    raise OSError(-returned, os.strerror(-returned))
            except OSError as error:
                raise HostFailure(f"can't hand a frame to a VM: {error}") from error

    def close(self) -> None:
        """Let go of the device."""
        self._raw.close()
        if self._program is not None:
            os.close(self._program)


def _comes_in(index: int) -> list[tuple[int, int, int, int]]:
    return [
        (_MOVE, 0x02, 0, index),
        (_MOVE, 0x03, 0, _COMES_IN),
        (_CALL, 0x00, 0, _CLONE_REDIRECT),
        (_EXIT, 0x00, 0, 0),
    ]
