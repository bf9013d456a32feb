"""
What brings a write to both sides: `Flow.write`, and the thread that delivers what one side missed.
"""
