"""Measurements; the tests assert no times."""
