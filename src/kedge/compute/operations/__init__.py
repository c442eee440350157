"""Operations: work on many servers at once, begun, simulated and driven."""
