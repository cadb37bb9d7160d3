"""Where an action goes: policies define the variants, a flag chooses one by name, the decision says why."""
