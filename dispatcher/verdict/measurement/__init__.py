"""The log, counted by one aggregate statement for all criteria of a record; no row leaves the database."""
