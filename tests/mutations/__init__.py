"""The mutations, one table for each module; tests/mutate.py runs them."""
