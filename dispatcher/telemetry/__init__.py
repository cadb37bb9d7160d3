"""What the log holds, imported and summarised: column maps, distributions, published figures."""
