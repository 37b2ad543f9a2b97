"""The Glue Data Catalog on this machine: persistent, and speaking Glue's API."""

from fin_lake.local.athena.glue.catalog import GlueCatalog
from fin_lake.local.athena.glue.client import GlueClient

__all__ = ["GlueCatalog", "GlueClient"]
