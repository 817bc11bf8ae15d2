"""Grids of runs: ways of training x attacks x rates x seeds, each trained, measured and added up."""
