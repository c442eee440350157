"""Real hosts on one machine: libvirtd, QEMU, Open vSwitch, bridges and macvtap in network namespaces."""

from .host import LabHost
from .lab import Lab, LabStatus
from .node import Node

__all__ = ["Lab", "LabHost", "LabStatus", "Node"]
