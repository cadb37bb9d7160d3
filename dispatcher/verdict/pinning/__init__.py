"""Measuring a baseline where its rows are, once, so that it can be read again without them."""
