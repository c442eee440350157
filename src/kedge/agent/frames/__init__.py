"""A VM's frames: watched on its devices, to measure its blackout, and sent to announce it."""
