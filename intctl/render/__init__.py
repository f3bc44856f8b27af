"""Renderers from views to text. They read no clock, terminal or environment: callers pass the values."""
