"""Tests of the surroundings of a pass."""
