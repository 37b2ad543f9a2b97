"""Spark: raw hours cleaned and indicators computed on a cluster, by the functions that a run itself uses.

What it writes are the objects that a run writes, one PUT each: encryption, readers and the tables over them
are the same.
"""
