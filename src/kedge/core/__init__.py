"""What to do: pure functions with no I/O, clock or randomness."""
