"""A ZeroMQ pusher on pyzmq: the twin of zeromq-pusher."""

import argparse
import os
import re
import signal
import sys
import time

import zmq

REPLY_TIMEOUT = 5

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


parser = argparse.ArgumentParser()
parser.add_argument("endpoint")
parser.add_argument("task", nargs="?", default="Hello, world")
parser.add_argument("--count", type=int, default=10)
args = parser.parse_args()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

with zmq.Context() as context:
    with context.socket(zmq.PUSH) as socket:
        socket.linger = 500
        socket.bind(args.endpoint)
        print(f"Pusher listening on {socket.last_endpoint.decode()}")
        print("Pullers to wait for: 1")
        for number in range(1, args.count + 1):
            task = f"{os.getpid()}-{number} {args.task}".encode()
            # Blocks while there is no puller.
            socket.send(task)
            print(f"Sent: {printable(task)[:200]}")
        socket.linger = REPLY_TIMEOUT * 1000
    # Returns when all has left, or when that takes too long.
    start = time.monotonic()
    context.term()
    if time.monotonic() - start >= REPLY_TIMEOUT:
        sys.exit("not all tasks have left within 5 s (does a puller not read?)")
print(f"All {args.count} tasks have left")
