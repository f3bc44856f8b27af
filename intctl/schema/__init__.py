"""Column types, tables, migrations and DDL; database setup, and adoption of a portal's tables."""
