"""What people read of an evaluation: tables, figures, the page, the error card, model cards."""

from training.judging.report.card import model_card
from training.judging.report.error_card import error_card
from training.judging.report.page import about, page
from training.judging.report.style import check
from training.judging.report.tables import short_table

__all__ = ["about", "check", "error_card", "model_card", "page", "short_table"]
