"""The usual way with pika: publish a task, wait for its confirm, publish the next."""

import sys

import pika

url, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
for number in range(1, count + 1):
    body = f"task {number}"
    channel.basic_publish("", queue, body, properties=persistent, mandatory=True)
    print(f"Sent: {body}")
connection.close()
