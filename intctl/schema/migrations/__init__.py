"""Alembic revisions: frozen SQL, one file a revision, applied by `store.setup.prepare`."""
