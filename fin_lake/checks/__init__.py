"""What must hold of each table and hour.

The laws are pure functions of frames; ``assets`` turns what they find into Dagster's asset checks.
"""
