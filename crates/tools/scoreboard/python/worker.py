"""A worker on pika for the tasks of a RabbitMQ queue: the twin of rabbitmq-worker."""

import argparse
import os
import re
import signal
import sys
import time

import pika

BROKER = os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672")

sys.stdout.reconfigure(line_buffering=True)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


def declare(channel, queue):
    for name in (f"{queue}.failed", queue):
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{name}.failed",
        }
        channel.queue_declare(name, durable=True, arguments=arguments)


def do_task(channel, method, properties, body):
    again = " again" if method.redelivered else ""
    print(f"Received{again}: {printable(body)[:200]}")
    if args.work:
        time.sleep(args.work)
    if body == b"fail":
        channel.basic_reject(method.delivery_tag, requeue=False)
        print(f"Failed: {printable(body)[:200]}")
    else:
        channel.basic_ack(method.delivery_tag)
        print(f"Done: {printable(body)[:200]}")


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=BROKER)
parser.add_argument("--queue", default="tasks")
parser.add_argument("--work", type=float, default=1)
args = parser.parse_args()
signal.signal(signal.SIGTERM, signal.default_int_handler)

with pika.BlockingConnection(pika.URLParameters(args.broker)) as connection:
    channel = connection.channel()
    declare(channel, args.queue)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(args.queue, do_task)
    print(f"Waiting for tasks in {args.queue}")
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        print("Stopped")
