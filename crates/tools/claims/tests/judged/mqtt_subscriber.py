"""An MQTT subscriber, written from the contract in the README of mqtt-temperature."""

import argparse
import os
import sys
import unicodedata
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    text = data.decode(errors="replace")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def end(why):
    print(f"Error: {why}", file=sys.stderr)
    os._exit(1)  # Also where a callback of the library would catch an exception.


def on_connect(client, userdata, flags, reason, properties):
    if reason.is_failure:
        end(f"{args.broker} refuses: {reason}")
    for topic in args.topic:
        _, number = client.subscribe(topic, args.qos)
        subscribing[number] = topic


def on_subscribe(client, userdata, number, reasons, properties):
    topic = subscribing.pop(number)
    if reasons[0].is_failure:
        end(f"the broker accepts no subscription to '{topic}' (a bad topic?)")
    print(f"Subscribed to '{topic}'")


def on_message(client, userdata, message):
    # The library acknowledges it when this returns.
    topic = printable(message.topic.encode())
    print(f"Topic: {topic} | Message: {printable(message.payload)}")


def on_disconnect(client, userdata, flags, reason, properties):
    print("Lost connection, reconnecting", file=sys.stderr)


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=os.environ.get("MQTT_URL", "mqtt://127.0.0.1"))
parser.add_argument("--username", default=os.environ.get("MQTT_USERNAME"))
parser.add_argument("--password", default=os.environ.get("MQTT_PASSWORD"))
parser.add_argument("--topic", action="append")
parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=0)
parser.add_argument("--persistent", action="store_true")
parser.add_argument("--client-id", default="")
args = parser.parse_args()
args.topic = args.topic or ["myhome/livingroom/temperature"]
if args.persistent and not args.client_id:
    parser.error("--persistent needs --client-id")

subscribing = {}
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=args.client_id,
    clean_session=not args.persistent,
    protocol=mqtt.MQTTv311,
)
if args.username:
    client.username_pw_set(args.username, args.password)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_disconnect = on_disconnect
client.reconnect_delay_set(1, 8)
broker = urlsplit(args.broker)
try:
    client.connect(broker.hostname, broker.port or 1883)
except OSError as error:
    end(f"no broker at {args.broker}: {error}")
try:
    client.loop_forever()
except KeyboardInterrupt:
    client.on_disconnect = None
    client.disconnect()
