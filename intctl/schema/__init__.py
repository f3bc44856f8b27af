"""Column types, tables, migrations, DDL; setting up a database and adopting a portal's."""
