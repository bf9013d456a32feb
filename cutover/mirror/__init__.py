"""
Writes that reach both sides: the outbox that keeps what is to be written, one file an engine, and what goes into it.
"""
