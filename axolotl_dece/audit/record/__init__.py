"""What a run writes down about its rows."""
