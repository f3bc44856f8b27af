"""What surrounds a pass."""
