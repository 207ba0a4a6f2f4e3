"""Markov transitions in noise space, one to a file, and the accept step that they share."""
