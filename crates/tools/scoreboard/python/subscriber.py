"""An MQTT subscriber on paho-mqtt: the twin of mqtt-subscriber."""

import argparse
import os
import re
import signal
import socket
import sys
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
BROKER = os.environ.get("MQTT_URL", "mqtt://127.0.0.1:1883")

sys.stdout.reconfigure(line_buffering=True)


def printable(data):
    return CONTROL.sub("\ufffd", data.decode(errors="replace"))


def on_socket_open(client, userdata, sock):
    # Else TCP would hold an acknowledgement back until the last one has arrived.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        sys.exit(f"{args.broker} refuses: {reason_code}")
    client.subscribe(args.topic, args.qos)


def on_subscribe(client, userdata, mid, reason_codes, properties):
    if reason_codes[0].is_failure:
        sys.exit(f"the broker refuses '{args.topic}'")
    print(f"Subscribed to '{args.topic}'")


def on_message(client, userdata, msg):
    print(f"Topic: {msg.topic} | Message: {printable(msg.payload)}")


def on_disconnect(client, userdata, flags, reason_code, properties):
    print("Lost connection, reconnecting", file=sys.stderr)


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=BROKER)
parser.add_argument("--topic", default="myhome/livingroom/temperature")
parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=0)
args = parser.parse_args()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: sys.exit())

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
client.on_socket_open = on_socket_open
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_disconnect = on_disconnect
client.reconnect_delay_set(1, 8)
broker = urlsplit(args.broker)
client.connect(broker.hostname, broker.port or 1883, 60)
client.loop_forever()
