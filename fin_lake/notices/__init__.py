"""What others are told of runs: as metrics and alarms in CloudWatch, as events and checks in DataDog.

Which runs are told of is decided in ``automation.notices``.
"""
