"""
Where lasting things live, behind `cutover.homes`: ids, threads, and the handle that applications hold.
"""
