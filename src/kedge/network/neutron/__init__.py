"""The network service on a Neutron that somebody runs already, through openstacksdk.

calls          one request to Neutron; whatever goes wrong becomes a KedgeError that names the cloud and the call
forms          Neutron's JSON and Kedge's model
notes          what Kedge must remember of a binding, kept in that binding's profile
parallel       bindings on two hosts at once, where Neutron offers `binding-extended`
rebind_early   one binding that moves ahead of the VM, where it does not
service        the adapter itself
hosts          hosts, which report to Kedge as ever, and what is to be kept plugged on them
"""

from .calls import Neutron
from .hosts import NeutronHosts
from .service import NeutronNetworkService

__all__ = ["Neutron", "NeutronHosts", "NeutronNetworkService"]
