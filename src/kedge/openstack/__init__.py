"""Clients of an OpenStack that is there already."""
