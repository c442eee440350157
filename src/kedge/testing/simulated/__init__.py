"""Hosts in memory, which tests of the control plane put in place of a lab: `fabric` has them all."""
