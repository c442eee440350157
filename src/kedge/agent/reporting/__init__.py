"""What the control plane is told of this host, and of one server on it."""
