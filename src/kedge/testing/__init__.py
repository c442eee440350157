"""Stand-ins for hosts and networks that ship with Kedge, for tests that must be fast or exhaustive."""
