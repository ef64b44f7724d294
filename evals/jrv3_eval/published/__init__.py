"""Numbers that others published, with their protocol, and ours beside them."""

from .matching import (
    Beside,
    Measured,
    beside,
    measured_average,
    measured_task,
    verdict_for,
)
from .reading import published_tables, read_published, read_table
from .schema import PublishedTable, Row, check_sums, plain_model
from .systems import systems_beside
from .training import MEANING as TRAINING_MEANING
from .training import SIGN as TRAINING_SIGN
from .training import declares
from .wording import beside_remarks, marked_name, shown_verdict

__all__ = [
    "TRAINING_MEANING",
    "TRAINING_SIGN",
    "Beside",
    "Measured",
    "PublishedTable",
    "Row",
    "beside",
    "beside_remarks",
    "check_sums",
    "declares",
    "marked_name",
    "measured_average",
    "measured_task",
    "plain_model",
    "published_tables",
    "read_published",
    "read_table",
    "shown_verdict",
    "systems_beside",
    "verdict_for",
]
