"""
What happens when things break: real processes record what they did, and a checker judges the whole history.
"""
