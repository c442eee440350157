"""The domains of this host: libvirt's connection and events, what is made, changed and removed, and their transfers."""
