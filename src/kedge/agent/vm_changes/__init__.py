"""What the agent does in the instant in which a VM changes: where it runs, and as what MAC it sends."""
