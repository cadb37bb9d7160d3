"""The hall: decide, open the row, run the path observed, close the row, answer."""
