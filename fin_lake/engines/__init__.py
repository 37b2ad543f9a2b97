"""Who else computes on the lake or reads from it, one package an engine.

What they are told belongs here: SQL, connections, jobs. What the lake itself holds is for
:mod:`fin_lake.lake` to say, and which assets come of it for :mod:`fin_lake.assets`.
"""
