"""What people read of an evaluation: tables, figures, the page, the error card, model cards."""

from training.report.card import model_card
from training.report.error_card import error_card
from training.report.page import about, page
from training.report.style import check
from training.report.tables import short_table

__all__ = ["about", "check", "error_card", "model_card", "page", "short_table"]
