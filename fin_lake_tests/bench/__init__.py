"""Measurements, not tests: ratios taken in one interleaved run (`make bench`)."""
