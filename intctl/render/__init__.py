"""Views in, text out. Nothing here reads a clock, a terminal or the environment: it is told."""
