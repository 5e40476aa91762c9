"""A ZeroMQ subscriber on pyzmq: the twin of zeromq-subscriber."""

import argparse
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
parser.add_argument("--topic", action="append")
args = parser.parse_args()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

with zmq.Context() as context, context.socket(zmq.SUB) as socket:
    for topic in args.topic or [""]:
        socket.subscribe(topic)
    # connect() returns at once: only the monitor tells when there is a publisher.
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    socket.connect(args.endpoint)
    recv_monitor_message(monitor)
    socket.disable_monitor()
    print(f"Connected to {args.endpoint}")
    while True:
        message = socket.recv_multipart()
        print(f"Received: {printable(b' | '.join(message))}")
