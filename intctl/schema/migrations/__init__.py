"""Alembic revisions: frozen SQL, one file per revision, applied by `schema.setup.prepare`."""
