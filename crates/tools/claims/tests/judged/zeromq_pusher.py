"""A ZeroMQ pusher, written from the contract in the README of zeromq-patterns."""

import argparse
import os
import sys
import time
import unicodedata

import zmq
from zmq.utils.monitor import recv_monitor_message

LINGER = 5

sys.stdout.reconfigure(line_buffering=True)


def printable(text):
    text = text[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def push():
    global sent
    for missing in range(args.pullers, 0, -1):
        print(f"Pullers to wait for: {missing}")
        recv_monitor_message(monitor)
    for number in range(1, args.count + 1):
        task = f"{os.getpid()}-{number} {args.task}"
        socket.send_string(task)  # Waits while there is no puller.
        print(f"Sent: {printable(task)}")
        sent = number


parser = argparse.ArgumentParser()
parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5557")
parser.add_argument("task", nargs="?", default="Hello, world")
parser.add_argument("--count", type=int, default=10)
parser.add_argument("--pullers", type=int, default=1)
args = parser.parse_args()
sent = 0
context = zmq.Context()
socket = context.socket(zmq.PUSH)
socket.sndhwm = 100_000
socket.linger = LINGER * 1000
monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
try:
    socket.bind(args.endpoint)
except zmq.ZMQError as error:
    sys.exit(f"Error: cannot listen on {args.endpoint}: {error}")
print(f"Pusher listening on {socket.last_endpoint.decode()}")
try:
    push()
except KeyboardInterrupt:
    pass
socket.disable_monitor()
monitor.close()
socket.close()
begin = time.monotonic()
context.term()  # Returns when all has left, or when that takes too long.
if time.monotonic() - begin >= LINGER:
    sys.exit("Error: not all tasks have left within 5 s (does a puller not read?)")
print(f"All {sent} tasks have left")
