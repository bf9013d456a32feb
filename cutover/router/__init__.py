"""
What runs inside application processes: `connect`, and the handles that answer requests; the folders hold the rest.
"""
