"""intctl: provision, prove and watch an organisation's external integrations."""

# A literal, not importlib.metadata: reading the metadata costs 45 ms at every start.
__version__ = "0.1.0"
