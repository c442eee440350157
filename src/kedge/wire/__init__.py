"""What passes between the control plane and the agents: the messages, how they are written, and their version."""
