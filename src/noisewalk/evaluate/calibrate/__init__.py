"""Is a sampler right? Ranks of truths among its draws."""
