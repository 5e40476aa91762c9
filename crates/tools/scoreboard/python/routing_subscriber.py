"""A subscriber on pika, with a queue of its own: the twin of rabbitmq-subscriber."""

import argparse
import os
import re
import signal
import sys

import pika

BROKER = os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672")
PREFETCH = 100

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


def on_message(channel, method, properties, body):
    print(f"Received {method.routing_key} | {printable(body)}")
    channel.basic_ack(method.delivery_tag)


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=BROKER)
parser.add_argument("--exchange", default="home")
parser.add_argument("--kind", choices=("fanout", "direct", "topic"), default="topic")
parser.add_argument("--bind", nargs="+", action="extend")
args = parser.parse_args()
if args.kind == "direct" and not args.bind:
    parser.error("--kind direct needs --bind")
signal.signal(signal.SIGTERM, signal.default_int_handler)

with pika.BlockingConnection(pika.URLParameters(args.broker)) as connection:
    channel = connection.channel()
    channel.exchange_declare(args.exchange, args.kind, durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_qos(prefetch_count=PREFETCH)
    channel.basic_consume(queue, on_message)
    for key in args.bind or ["#"]:
        channel.queue_bind(queue, args.exchange, key)
        print(f"Bound {key} to {args.exchange}")
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        pass
