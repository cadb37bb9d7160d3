"""A verdict as one self-contained page: no script, nothing loaded, the same bytes for the same verdict."""
