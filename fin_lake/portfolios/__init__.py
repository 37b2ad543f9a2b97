"""Portfolios: what they are defined to hold, what they were worth, and how they did.

Pure: definitions are read from a YAML file, values come from a frame of prices. Where prices are kept
and where values are stored is decided elsewhere.
"""
