"""Servers, migrations and the room promised to them, in the database."""
