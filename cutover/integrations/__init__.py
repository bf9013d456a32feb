"""
Visits in web frameworks and task queues: what carries the token, and where handlers find the visit.

`asgi`, `wsgi`, `django` and `flask` are thin drivers of one exchange; `celery` puts home and token into task headers.
"""

from cutover.integrations.carriers import Cookie, Header, Session
from cutover.integrations.places import visit_of

__all__ = ["Cookie", "Header", "Session", "visit_of"]
