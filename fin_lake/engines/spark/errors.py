"""What goes wrong with Spark."""

from fin_lake.errors import FinLakeError


class SparkError(FinLakeError):
    """Spark cannot be asked, or could not do what it was asked to."""
