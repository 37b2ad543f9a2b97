"""Who else computes on the lake or reads it, and what they are handed; no assets, no commands."""
