"""
Where state lies: one folder an engine, which implements the ports that it can.
"""
