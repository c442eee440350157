"""What hosts report by themselves, and what they are answered."""
