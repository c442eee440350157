"""Mends what a domain here has lost, and removes what nothing needs any more: VIFs, and domains."""
