"""Reports of an evaluation: tables, figures, the page, the error card, model cards."""

from training.judging.report.charts import check
from training.judging.report.contact_sheet import contact_sheet
from training.judging.report.pages import about, error_card, page
from training.judging.report.tables import lost_sets, model_card, short_table

__all__ = [
    "about",
    "check",
    "contact_sheet",
    "error_card",
    "lost_sets",
    "model_card",
    "page",
    "short_table",
]
