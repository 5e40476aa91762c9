"""A worker, written from the contract in the README of rabbitmq-tasks."""

import argparse
import os
import sys
import time
import unicodedata

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

LOST = "Lost the broker: connecting again"

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace")[:200]
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def declare(channel):
    for name in f"{args.queue}.failed", args.queue:
        table = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{name}.failed",
        }
        channel.queue_declare(name, durable=True, arguments=table)


def do_task(channel, method, properties, task):
    again = " again" if method.redelivered else ""
    print(f"Received{again}: {printable(task)}")
    # The work. Meanwhile heartbeats go out.
    channel.connection.sleep(args.work)
    if task == b"fail":
        channel.basic_reject(method.delivery_tag, requeue=False)
        print(f"Failed: {printable(task)}")
    else:
        channel.basic_ack(method.delivery_tag)
        print(f"Done: {printable(task)}")


def do_tasks(connection):
    channel = connection.channel()
    declare(channel)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(args.queue, do_task)
    print(f"Waiting for tasks in {args.queue}")
    channel.start_consuming()


def run():
    again, pause = False, 0.5
    while True:
        lost = None
        try:
            with pika.BlockingConnection(parameters) as connection:
                again, pause, lost = True, 0.5, LOST
                do_tasks(connection)
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
parser.add_argument("--queue", default="tasks")
parser.add_argument("--work", type=float, default=1)
args = parser.parse_args()
parameters = pika.URLParameters(args.broker)
parameters.heartbeat = 10
place = f"{parameters.host}:{parameters.port}"
try:
    run()
except KeyboardInterrupt:
    print("Stopped")
