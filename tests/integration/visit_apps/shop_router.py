"""
The router of every shop here, and the middleware's settings for plain http. With BARE set there is no middleware.
"""

import os

import cutover
from cutover.integrations import Cookie

BARE = "BARE" in os.environ
COOKIE = Cookie(secure=False)
SESSION_SECRET = "for this test alone"

router = cutover.connect()
assert router.wait_ready(20)
cart = router.flow("cart")
purchase = router.journey("purchase")


def shown(visit):
    """
    Give what a page shows of a visit, or of a key where there is no middleware.
    """
    return {"backend": cart.route(visit).value, "key": getattr(visit, "key", visit)}
