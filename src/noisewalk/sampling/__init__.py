"""From a target and a plan to a run: chains, tempered SMC, and the one way through."""
