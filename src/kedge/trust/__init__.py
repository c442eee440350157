"""Whom Kedge's processes trust and what only they may read: certificates, TLS, private files."""
