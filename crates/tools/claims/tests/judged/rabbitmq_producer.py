"""A producer, written from the contract in the README of rabbitmq-tasks."""

import argparse
import os
import sys
import unicodedata

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

sys.stdout.reconfigure(line_buffering=True)


def printable(text):
    text = text[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def declare(channel):
    for name in f"{args.queue}.failed", args.queue:
        table = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{name}.failed",
        }
        channel.queue_declare(name, durable=True, arguments=table)


def tasks():
    for number in range(1, args.count + 1):
        for message in args.messages:
            yield f"{message} {number}" if args.count > 1 else message


def produce(channel):
    global confirmed
    persistent = pika.BasicProperties(delivery_mode=2)
    for task in tasks():
        # Returns when the broker has confirmed the task, or raises.
        channel.basic_publish(
            "", args.queue, task.encode(), properties=persistent, mandatory=True
        )
        print(f"Sent: {printable(task)}")
        confirmed += 1


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=os.environ.get("AMQP_URL", "amqp://127.0.0.1"))
parser.add_argument("--queue", default="tasks")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("messages", metavar="MESSAGE", nargs="*", default=["Hello, world"])
args = parser.parse_args()
parameters = pika.URLParameters(args.broker)
parameters.heartbeat = 10
confirmed = 0
try:
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        declare(channel)
        channel.confirm_delivery()
        produce(channel)
except UnroutableError as error:
    why = error.messages[0].method.reply_text
    sys.exit(f"Error: {confirmed} tasks are confirmed: {why}")
except NackError:
    why = "the broker refuses it (is the queue full?)"
    sys.exit(f"Error: {confirmed} tasks are confirmed: {why}")
except AMQPError as error:
    sys.exit(f"Error: {confirmed} tasks are confirmed: {error!r}")
