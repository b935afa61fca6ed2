"""redis-py against a follower, unmodified, while followers are paused and killed.

    SERVER_UNDER_TEST=target/release/trefoil python tests/clients/soak_follower.py --minutes 10 --seed 7

One `redis.Redis(port=follower)` with its pool is shared by eight threads, with the retries that redis-py does by
itself. Each thread writes ascending numbers to keys of its own and reads all keys. What a read must show at
least is the newest number that was acknowledged, or seen by anybody in the pool, before the read began: less
is a violation of read-your-writes or of monotonic reads. After an error it is not known whether the write
happened, so both are right until a later write is acknowledged.

Faults hit the follower that is used and the other one: SIGSTOP for a while, kill -9 and restart, sometimes both.
Ends with 0 if nothing was violated.
"""

import argparse
import pathlib
import random
import sys
import tempfile
import threading
import time

import redis
from clusters import Node, caught_up

THREADS = 8
KEYS = 5


class Seen:
    """The newest number of each key that a reader has to see, and that it may see."""

    def __init__(self):
        self.least, self.most, self.lock = {}, {}, threading.Lock()

    def at_least(self, key):
        with self.lock:
            return self.least.get(key, 0)

    def attempt(self, key, number):
        with self.lock:
            self.most[key] = number

    def is_there(self, key, number):
        with self.lock:
            self.least[key] = max(self.least.get(key, 0), number)

    def may_be(self, key, number):
        with self.lock:
            return number <= self.most.get(key, 0)


class Worker(threading.Thread):
    """Writes its own keys and reads everybody's."""

    def __init__(self, client, seen, number, seed, over):
        super().__init__(daemon=True)
        self.client, self.seen, self.over = client, seen, over
        self.own = [f"w{number}:{key}" for key in range(KEYS)]
        self.random = random.Random(f"{seed} {number}")
        self.writes = self.reads = self.next = 0
        self.errors, self.violations, self.slowest = {}, [], 0

    def run(self):
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                self.step()
            except redis.RedisError as error:
                name = f"{type(error).__name__} {str(error).split(' ', 1)[0]}"
                self.errors[name] = self.errors.get(name, 0) + 1
                time.sleep(0.01)
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def step(self):
        dice = self.random.random()
        key = self.random.choice(self.own)
        if dice < 0.4:
            self.write(key)
            self.read(key)
        elif dice < 0.7:
            self.read(key)
        else:
            self.read(f"w{self.random.randrange(THREADS)}:{self.random.randrange(KEYS)}")

    def write(self, key):
        self.next += 1
        self.seen.attempt(key, self.next)
        self.client.set(key, self.next)
        self.seen.is_there(key, self.next)
        self.writes += 1

    def read(self, key):
        least = self.seen.at_least(key)
        number = int(self.client.get(key) or 0)
        self.reads += 1
        if number < least or not self.seen.may_be(key, number):
            self.violations.append(f"{self.name} read {number} from {key}, {least} had been seen before")
        self.seen.is_there(key, number)


class Faults:
    """Pauses and kills followers until the time is over."""

    def __init__(self, followers, seed):
        self.followers, self.random, self.counts = followers, random.Random(seed), {}

    def run(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(self.random.uniform(0.2, 2.0), left))
            hit = self.random.choice([self.followers[:1], self.followers[:1], self.followers[1:], self.followers])
            self.random.choice([self.pause, self.kill])(hit)

    def pause(self, nodes):
        for node in nodes:
            node.freeze()
        time.sleep(self.random.uniform(0.05, 1.5))
        for node in nodes:
            node.thaw()
        self.count("paused", nodes)

    def kill(self, nodes):
        for node in nodes:
            node.kill()
        time.sleep(self.random.choice([0, 0.3]))
        for node in nodes:
            node.restart()
        self.count("killed", nodes)

    def count(self, what, nodes):
        for node in nodes:
            name = f"{'the one in use' if node is self.followers[0] else 'the other one'} {what}"
            self.counts[name] = self.counts.get(name, 0) + 1


def soak(folder, seconds, seed, say=print):
    """Runs it in a folder. The violations."""
    nodes = []
    try:
        for name in ("leader", "used", "other"):
            place = pathlib.Path(folder) / name
            place.mkdir()
            nodes.append(Node(place, {"replicaof": f"127.0.0.1 {nodes[0].port}"} if nodes else {}))
        caught_up(*nodes)
        client = redis.Redis(port=nodes[1].port)
        seen, over = Seen(), threading.Event()
        workers = [Worker(client, seen, number, seed, over) for number in range(THREADS)]
        for worker in workers:
            worker.start()
        faults = Faults(nodes[1:], seed)
        faults.run(seconds)
        over.set()
        for worker in workers:
            worker.join(60)
            if worker.is_alive():
                worker.violations.append(f"{worker.name} got no answer for a minute")
        return report(workers, faults, seed, seconds, say)
    finally:
        for node in nodes:
            node.kill()


def report(workers, faults, seed, seconds, say):
    writes, reads = sum(worker.writes for worker in workers), sum(worker.reads for worker in workers)
    errors = {}
    for worker in workers:
        for name, count in worker.errors.items():
            errors[name] = errors.get(name, 0) + count
    violations = [violation for worker in workers for violation in worker.violations]
    say(f"seed {seed}, {seconds:.0f} s: {writes} writes and {reads} reads were answered")
    say(f"faults: {', '.join(f'{name} {count}x' for name, count in sorted(faults.counts.items()))}")
    say(f"errors that clients saw: {errors or 'none'}; slowest step {max(w.slowest for w in workers):.1f} s")
    say(f"violations: {len(violations)}")
    for violation in violations[:20]:
        say(f"  {violation}")
    return violations, writes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        violations, _ = soak(folder, asked.minutes * 60, asked.seed)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
