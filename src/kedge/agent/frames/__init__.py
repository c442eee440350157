"""A VM's frames: watched on its devices, and asked for, to measure its blackout; and sent to announce it."""
