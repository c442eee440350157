"""Neutron's role: networks, ports, bindings and agents; stored here, or by a Neutron that somebody runs."""
