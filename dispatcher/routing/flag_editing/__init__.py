"""Flags as they are changed: in the file or on the server, by one writer at a time, and who changed them."""
