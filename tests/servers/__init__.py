"""
Real servers for the tests, from packages of the index; each is started once, in a folder of its own.
"""
