"""Snowflake: the SQL of its objects and loads, the connection, and the replacement of hours.

No Dagster asset is here; nothing of it is imported before Snowflake is asked for something.
"""
