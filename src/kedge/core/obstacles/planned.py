"""What the planner finds by itself: where the server and the hosts stand, and what the network and the XML say."""

CODES = {
    "same-host": "the server is on that host already",
    "no-ports": "the server has no ports",
    "too-many-ports": "the server has more ports than can be plugged together",
    "not-running": "the server does not run",
    "job-running": "libvirt migrates the server already",
    "source-failed": "the source's agent or libvirt does not answer, or refuses",
    "destination-failed": "the destination's agent or libvirt does not answer, or refuses",
    "forced-down": "an operator has said that the destination is off",
    "agent-dead": "the destination's agent has not reported lately",
    "host-disabled": "an operator has disabled the destination: it receives no server",
    "anti-affinity": "the destination has another server that this one may not be beside",
    "uuid-taken": "the destination has a domain with the server's UUID",
    "nic-not-bound": "a port has no ACTIVE binding on the source",
    "nic-cannot-bind": "no network backend of the destination binds a port",
    "nic-guest-macs": "the guest sends as several MACs, which the destination's macvtap would not pass",
    "domain-xml": "something in the domain's XML can't be on the destination",
}
