"""A ZeroMQ publisher, written from the contract in the README of zeromq-patterns."""

import argparse
import itertools
import random
import sys
import time

import zmq

ROOMS = "myhome/livingroom/temperature", "myhome/kitchen/temperature"

sys.stdout.reconfigure(line_buffering=True)


def publish():
    for number in itertools.islice(itertools.count(1), args.count):
        time.sleep(args.interval)
        for topic in ROOMS:
            reading = [topic, str(number), f"{random.uniform(20, 25):.2f}"]
            print("Publishing: " + " | ".join(reading))
            socket.send_multipart([frame.encode() for frame in reading])


parser = argparse.ArgumentParser()
parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5556")
parser.add_argument("--count", type=int)
parser.add_argument("--interval", type=float, default=1)
args = parser.parse_args()
context = zmq.Context()
socket = context.socket(zmq.PUB)
socket.linger = 500
try:
    socket.bind(args.endpoint)
except zmq.ZMQError as error:
    sys.exit(f"Error: cannot listen on {args.endpoint}: {error}")
print(f"Publisher listening on {socket.last_endpoint.decode()}")
try:
    publish()
except KeyboardInterrupt:
    pass
socket.close()
context.term()
