"""What the numbers of this repository come from, and recipes to begin with. Not in the wheel."""
