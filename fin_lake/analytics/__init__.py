"""The analytics layer: how the dbt project runs on Athena, inside of this process.

What the models compute is in ``dbt_project/``; what Dagster shows of them is in
``assets/analytics``. Here is what lies between: the manifest, the invocation of dbt, the
translation of its events, and the upkeep of its tables.
"""
