"""
What shows Prometheus what was counted, and what holds.
"""
