"""
Where lasting things live, behind `cutover.homes`: one file an engine, one protocol, one registry of URLs.
"""
