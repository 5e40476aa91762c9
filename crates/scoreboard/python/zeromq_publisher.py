"""A ZeroMQ publisher on pyzmq: the twin of zeromq-publisher."""

import argparse
import itertools
import random
import signal
import sys
import time

import zmq

TOPICS = ["myhome/livingroom/temperature", "myhome/kitchen/temperature"]

sys.stdout.reconfigure(line_buffering=True)

parser = argparse.ArgumentParser()
parser.add_argument("endpoint")
parser.add_argument("--count", type=int)
parser.add_argument("--interval", type=float, default=1)
args = parser.parse_args()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

with zmq.Context() as context, context.socket(zmq.PUB) as socket:
    socket.linger = 500
    # So many messages wait for a slow subscriber before it misses some.
    socket.sndhwm = 100_000
    socket.bind(args.endpoint)
    print(f"Publisher listening on {socket.last_endpoint.decode()}")
    for number in itertools.count(1) if args.count is None else range(1, args.count + 1):
        if args.interval:
            time.sleep(args.interval)
        for topic in TOPICS:
            message = [topic, str(number), f"{random.uniform(20.0, 25.0):.2f}"]
            print(f"Publishing: {' | '.join(message)}")
            socket.send_multipart([frame.encode() for frame in message])
