"""
How hypothesis runs in the unit tests.
"""

import os

from hypothesis import HealthCheck, settings

# No test depends on how fast the machine is: neither by a deadline nor by how long examples take to make.
# Under continuous integration each commit is tried with the same examples every time; everywhere else with new ones.
settings.register_profile(
    "cutover",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("cutover")
