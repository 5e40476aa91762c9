"""A subscriber, written from the contract in the README of rabbitmq-routing."""

import argparse
import os
import sys
import time
import unicodedata

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

LOST = "Lost the broker: connecting again; what is published meanwhile is lost"

sys.stdout.reconfigure(line_buffering=True)


def printable(text):
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def on_message(channel, method, properties, body):
    message = printable(body.decode(errors="replace"))
    print(f"Received {printable(method.routing_key)} | {message}")
    channel.basic_ack(method.delivery_tag)


def print_messages(connection):
    channel = connection.channel()
    channel.exchange_declare(args.exchange, args.kind, durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    for key in args.bind:
        channel.queue_bind(queue, args.exchange, key)
    channel.basic_qos(prefetch_count=100)
    channel.basic_consume(queue, on_message)
    for key in args.bind:
        print(f"Bound {key} to {args.exchange}")
    channel.start_consuming()


def run():
    again, pause = False, 0.5
    while True:
        lost = None
        try:
            with pika.BlockingConnection(parameters) as connection:
                again, pause, lost = True, 0.5, LOST
                print_messages(connection)
        except ChannelClosedByBroker as error:
            sys.exit(f"Error: {error.reply_text}")
        except AMQPError as error:
            why = f"cannot connect to {place}: {error!r}"
            if not again:
                sys.exit(f"Error: {why}")
            lost = lost or why
        print(lost, file=sys.stderr)
        time.sleep(pause)
        pause = min(2 * pause, 8)


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=os.environ.get("AMQP_URL", "amqp://127.0.0.1"))
parser.add_argument("--exchange", default="home")
parser.add_argument("--kind", choices=("fanout", "direct", "topic"), default="topic")
parser.add_argument("--bind", nargs="+")
args = parser.parse_args()
if args.kind == "direct" and not args.bind:
    parser.error("--kind direct needs --bind")
args.bind = args.bind or ["#"]
parameters = pika.URLParameters(args.broker)
parameters.heartbeat = 10
place = f"{parameters.host}:{parameters.port}"
try:
    run()
except KeyboardInterrupt:
    pass
