"""`noisewalk demo`: a real held-out image restored with its uncertainty."""
