"""The two ways research is carried out, and what is observed while they run."""
