"""
A process of one release: it asks for the payment flow by one name, and goes on with visits until its input ends.
"""

import json
import sys
import threading

import cutover

USERS = 40


def say(**facts: object) -> None:
    """
    Write one line.
    """
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(url: str, name: str) -> None:
    """
    Say when it routes, go on until a line comes in, and then say on how many sides each visit was.
    """
    with cutover.connect(url, secret="x" * 40, cache="off") as router:
        assert router.wait_ready(30)
        cart, pay, purchase = router.flow("cart"), router.flow(name), router.journey("purchase")
        over = threading.Event()
        split, moved = set(), set()

        def work() -> None:
            tokens, first = dict.fromkeys(range(USERS)), {}
            while not over.wait(0.005):
                for user in tokens:
                    visit = purchase.enter(f"user-{user}", token=tokens[user])
                    tokens[user] = visit.token
                    side = pay.route(visit)
                    split.update({user} if cart.route(visit) is not side else ())
                    moved.update({user} if first.setdefault(user, side) is not side else ())

        thread = threading.Thread(target=work)
        thread.start()
        say(routes=True)
        sys.stdin.readline()
        over.set()
        thread.join()
        fresh = {user: pay.route(purchase.enter(f"new-{user}")).value for user in range(USERS)}
        say(split=len(split), moved=len(moved), fresh=fresh)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
