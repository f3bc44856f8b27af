"""Names that intctl/store still imports from here: delete this file when it imports from `tables` and `types`."""

from intctl.schema.tables import TABLES
from intctl.schema.types import Clock, Id, Later

__all__ = ["TABLES", "Clock", "Id", "Later"]
