"""Views: the data that text, JSON, the metrics file and events have in common."""
