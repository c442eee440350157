"""The kernel's messages that devices have changed."""

import socket

_RTMGRP_LINK = 1


def link_socket() -> socket.socket:
    """A socket that becomes readable whenever some device appears, changes or goes."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    events.bind((0, _RTMGRP_LINK))
    return events


def drain(events: socket.socket) -> bool:
    """Whether anything happened until now, which is then forgotten."""
    happened = False
    while True:
        try:
            events.recv(65536)
            happened = True
        except BlockingIOError:
            return happened
        except OSError:  # more happened than was kept
            happened = True
