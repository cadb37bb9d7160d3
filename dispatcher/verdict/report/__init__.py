"""A verdict for its readers: text, canonical JSON, a page, a chat's message, and files."""
