"""Kedge live-migrates VMs between libvirt/KVM hosts and carries their network with them."""
