"""The audit log: its rows, its tables, and the one writer."""
