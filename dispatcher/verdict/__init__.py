"""From the log to a verdict: registration, measurement, evidence, judgement, report."""
