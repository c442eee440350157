"""Chaos: whatever dies during a migration, at whichever step, and what the hosts themselves then show.

python -m kedge.lab.chaos           every victim at its most telling steps, and a short storm of 5 VMs
python -m kedge.lab.chaos --long    every victim at every step, then 20 VMs at once for five minutes
"""
