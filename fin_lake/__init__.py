"""fin_lake: hourly stock and crypto bars in an S3 data lake and PostgreSQL, orchestrated by Dagster.

The package's floors, from the top: ``cli`` and ``definitions``; ``assets``; ``io_managers``;
``transforms`` and ``sources``; ``lake`` and ``warehouse``; ``tables``, ``partitions`` and
``settings``. A module imports from floors below its own only. ``local`` stands aside: it is the
embedded stack, and only ``cli`` starts it.
"""
