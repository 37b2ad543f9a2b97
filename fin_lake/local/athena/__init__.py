"""Athena and Glue on this machine: their APIs, in front of DuckDB and the objects in S3."""
