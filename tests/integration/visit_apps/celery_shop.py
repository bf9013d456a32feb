"""
A worker of the shop, which does in the background what a request has begun.
"""

import os

from celery import Celery
from shop_router import cart, purchase, router

from cutover.integrations.celery import task_home, task_visit

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
assert router.ready


class TryAgain(Exception):
    """
    What a back end says that is busy.
    """


def done(task, user):
    return {
        "home": str(task_home(task)),
        "routed": cart.route(user, home=task_home(task)).value,
        "visit": task_visit(task, purchase, user).backend.value,
        "retries": task.request.retries,
    }


@app.task(bind=True, name="once")
def once(self, user):
    return done(self, user)


@app.task(bind=True, name="retried", max_retries=2)
def retried(self, user):
    if self.request.retries < self.max_retries:
        raise self.retry(countdown=0)
    return done(self, user)


@app.task(bind=True, name="retried_by_itself", autoretry_for=(TryAgain,), retry_backoff=False, default_retry_delay=0)
def retried_by_itself(self, user):
    if self.request.retries < 2:
        raise TryAgain
    return done(self, user)


@app.task(bind=True, name="starts_another")
def starts_another(self, user):
    once.apply_async([user], task_id=f"{self.request.id}-other")
