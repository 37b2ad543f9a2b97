"""Iceberg tables: pyiceberg keeps their metadata, DuckDB computes, every change is one snapshot."""

from fin_lake.local.athena.iceberg.tables import IcebergTables

__all__ = ["IcebergTables"]
