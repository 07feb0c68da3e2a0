"""The results of a run as an HTML page, a model card and a table for the terminal."""

from __future__ import annotations

from limbeck.report.html import write_report
from limbeck.report.model_card import write_model_card
from limbeck.report.table import summary_table, summary_text

__all__ = ["summary_table", "summary_text", "write_model_card", "write_report"]
