"""Did it work? Attack success and clean quality, measured without running a line of what a model wrote."""

REPORT_FILE = "report.json"
