"""A publisher, written from the contract in the README of rabbitmq-routing."""

import argparse
import os
import signal
import sys
import unicodedata

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, NackError, UnroutableError

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
place = f"{parameters.host}:{parameters.port}"


def too_late(*_):
    raise AMQPError("no answer within 5 seconds")


# Bounds the wait for the confirm, which the library does not.
signal.signal(signal.SIGALRM, too_late)
try:
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.exchange_declare(args.exchange, args.kind, durable=True)
    channel.confirm_delivery()
except ChannelClosedByBroker as error:
    sys.exit(f"Error: {error.reply_text}")
except AMQPError as error:
    sys.exit(f"Error: cannot connect to {place}: {error!r}")
signal.alarm(5)
try:
    body = args.message.encode()
    channel.basic_publish(args.exchange, args.key, body, mandatory=True)
    print(f"Sent {printable(args.key)} | {printable(args.message)}")
except UnroutableError:
    sys.exit("Error: no queue is bound for this key: nobody got the message")
except NackError:
    sys.exit("Error: the broker refuses it")
except AMQPError:
    sys.exit("Error: no confirm: the message may have arrived, or not")
signal.alarm(0)
connection.close()
