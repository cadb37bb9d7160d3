"""The composition root: settings in, parts put together out."""
