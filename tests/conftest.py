"""
What every test may use: servers that are started for it; and the rule that a skip is a failure under CI.
"""

pytest_plugins = ["skips", "servers.postgresql", "servers.redis", "servers.relay"]
