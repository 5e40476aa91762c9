"""A ZeroMQ puller on pyzmq: the twin of zeromq-puller."""

import argparse
import itertools
import re
import signal
import sys

import zmq
from zmq.utils.monitor import recv_monitor_message

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


parser = argparse.ArgumentParser()
parser.add_argument("endpoint")
parser.add_argument("--count", type=int)
args = parser.parse_args()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

with zmq.Context() as context, context.socket(zmq.PULL) as tasks:
    # connect() returns at once: only the monitor tells when there is a pusher.
    monitor = tasks.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    tasks.connect(args.endpoint)
    recv_monitor_message(monitor)
    tasks.disable_monitor()
    print(f"Connected to {args.endpoint}")
    for _ in itertools.count() if args.count is None else range(args.count):
        task = tasks.recv_multipart()
        print(f"Received: {printable(b' | '.join(task))[:200]}")
