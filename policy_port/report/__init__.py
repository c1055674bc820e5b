"""Reports: one HTML file that holds its pictures, needs no network, and can be printed."""

from policy_port.report.drawing import draw_png
from policy_port.report.page import Picture, Report, Table
from policy_port.report.write import write_report

__all__ = ["Picture", "Report", "Table", "draw_png", "write_report"]
