"""PostgreSQL: the tables of the schema ``market`` and the atomic replacement of their hours."""
