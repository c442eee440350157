"""How hosts are reached: their agents, their clocks, and commands that change them."""
