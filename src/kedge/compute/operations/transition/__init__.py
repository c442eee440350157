"""Transitions: the operation that changes the network backend of hosts."""
