"""A publisher, written from the contract in the README of rabbitmq-routing."""

import argparse
import os
import sys
import unicodedata

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

sys.stdout.reconfigure(line_buffering=True)


def printable(text):
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=os.environ.get("AMQP_URL", "amqp://127.0.0.1"))
parser.add_argument("--exchange", default="home")
parser.add_argument("--kind", choices=("fanout", "direct", "topic"), default="topic")
parser.add_argument("--key", default="livingroom.temperature")
parser.add_argument("message", metavar="MESSAGE", nargs="?", default="21.50")
args = parser.parse_args()
parameters = pika.URLParameters(args.broker)
try:
    with pika.BlockingConnection(parameters) as connection:
        # Bounds the wait for the confirm.
        connection.call_later(5, connection.close)
        channel = connection.channel()
        channel.exchange_declare(args.exchange, args.kind, durable=True)
        channel.confirm_delivery()
        channel.basic_publish(
            args.exchange, args.key, args.message.encode(), mandatory=True
        )
    print(f"Sent {printable(args.key)} | {printable(args.message)}")
except UnroutableError:
    sys.exit("Error: no queue is bound for this key: nobody got the message")
except NackError:
    sys.exit("Error: the broker refuses it")
except AMQPError as error:
    sys.exit(f"Error: no confirm: the message may have arrived, or not ({error!r})")
