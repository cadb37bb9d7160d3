"""Flags as they are read: a document from a file or a server, understood in full, and evaluated here."""
