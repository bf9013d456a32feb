"""
What runs inside application processes: handles, refresh, counting, metrics.
"""
