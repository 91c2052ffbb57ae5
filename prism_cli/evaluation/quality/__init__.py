"""`prism eval quality`: measures of rows to metrics.json and report.html."""
