"""The rules of health: the table of causes, the outcome, and how an outcome changes an integration."""
