"""Where assets' frames are kept: raw and processed objects in S3, tables in PostgreSQL.

IO managers alone know places. Each handles one hour, a range of hours in a single run, and hours
without rows.
"""
