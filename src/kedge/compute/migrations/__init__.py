"""Migrations: planned, then observed, decided and acted on until they have ended."""
