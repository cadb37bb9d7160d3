"""Numbered migrations of the audit log, and the one door to Alembic."""
