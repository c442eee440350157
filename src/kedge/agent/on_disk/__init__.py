"""What a restarted agent must still know, kept on disk."""
