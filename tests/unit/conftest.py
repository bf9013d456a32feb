"""
How hypothesis runs in the unit tests.
"""

from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is: neither by a deadline nor by how long examples take to make.
settings.register_profile("cutover", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("cutover")
