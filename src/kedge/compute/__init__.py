"""Servers and their migrations: records, plans, and the conductor that observes, decides and acts."""
