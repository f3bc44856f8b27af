"""The rules of health: the table of causes, the outcome, what an outcome makes of an integration."""
