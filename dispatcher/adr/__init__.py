"""Decision records: the document, its acceptance criteria, and how both are read."""
