"""A producer on pika that awaits each confirm: the twin of rabbitmq-producer."""

import argparse
import os
import sys

import pika

BROKER = os.environ.get("AMQP_URL", "amqp://127.0.0.1:5672")

sys.stdout.reconfigure(line_buffering=True)


def declare(channel, queue):
    for name in (f"{queue}.failed", queue):
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{name}.failed",
        }
        channel.queue_declare(name, durable=True, arguments=arguments)


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=BROKER)
parser.add_argument("--queue", default="tasks")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("messages", metavar="MESSAGE", nargs="*", default=["Hello, world"])
args = parser.parse_args()

persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
with pika.BlockingConnection(pika.URLParameters(args.broker)) as connection:
    channel = connection.channel()
    declare(channel, args.queue)
    channel.confirm_delivery()
    for number in range(1, args.count + 1):
        for message in args.messages:
            task = f"{message} {number}" if args.count > 1 else message
            # Returns when the broker has confirmed the task, or raises.
            channel.basic_publish(
                "", args.queue, task.encode(), properties=persistent, mandatory=True
            )
            print(f"Sent: {task}")
