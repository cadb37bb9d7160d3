"""What counted clusters say for and against a claim: the statistics, pure."""
