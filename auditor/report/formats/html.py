"""The report as one page of HTML (see ``auditor.report.page``)."""

from auditor.report.page import write

__all__ = ["write"]
