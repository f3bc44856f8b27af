"""The database: its URL, the connection, translated driver errors, retry, leases."""
