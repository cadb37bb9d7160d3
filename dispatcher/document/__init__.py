"""Reading what people write by hand, YAML files and blocks, strictly: every problem at once, with its line."""
