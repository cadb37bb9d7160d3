"""From counts to findings and a verdict: pure, without a clock."""
