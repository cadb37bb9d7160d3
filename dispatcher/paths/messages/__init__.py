"""The `messages` path: our own tool loop on the Messages API."""
