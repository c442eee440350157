"""What runs on each hypervisor host: libvirt, the host's VIFs, and a small HTTP API with mutual TLS."""
