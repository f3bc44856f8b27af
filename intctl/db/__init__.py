"""The database: its URL, the connection, the drivers' errors in our own words, retry, leases."""
