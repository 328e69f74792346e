"""Gates: an owner asks for them with its claim, and they say who may see its tunnel."""
