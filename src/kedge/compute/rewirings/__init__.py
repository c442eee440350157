"""Rewirings: a server goes from one switch of its host to another, in place."""
