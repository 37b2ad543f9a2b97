"""What is raised of models."""

from fin_lake.errors import FinLakeError


class ModelError(FinLakeError):
    """A model that cannot be trained, found, registered or asked."""
