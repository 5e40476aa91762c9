"""An MQTT publisher, written from the contract in the README of mqtt-temperature."""

import argparse
import itertools
import os
import random
import sys
import threading
import time
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

sys.stdout.reconfigure(line_buffering=True)


def end(why):
    print(f"Error: {why}", file=sys.stderr)
    os._exit(1)  # Also where a callback of the library would catch an exception.


def on_connect(client, userdata, flags, reason, properties):
    if reason.is_failure:
        end(f"{args.broker} refuses: {reason}")
    print(f"Connected to {args.broker}")
    publish_status("online")
    connected.set()


def on_disconnect(client, userdata, flags, reason, properties):
    connected.clear()
    if reason.is_failure:
        print("Lost connection, reconnecting", file=sys.stderr)


def publish_status(text):
    return client.publish(f"{args.topic}/status", text, qos=1, retain=True)


def publish():
    for number in itertools.count() if args.count is None else range(args.count):
        if number:
            time.sleep(args.interval)
        connected.wait()
        temperature = f"{random.uniform(20.0, 25.0):.2f}"
        print(f"Publishing: {temperature}")
        # Returns when the broker has acknowledged it, or at QoS 0 when it is sent.
        client.publish(args.topic, temperature, args.qos).wait_for_publish()


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=os.environ.get("MQTT_URL", "mqtt://127.0.0.1"))
parser.add_argument("--username", default=os.environ.get("MQTT_USERNAME"))
parser.add_argument("--password", default=os.environ.get("MQTT_PASSWORD"))
parser.add_argument("--topic", default="myhome/livingroom/temperature")
parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=0)
parser.add_argument("--interval", type=float, default=5)
parser.add_argument("--count", type=int)
args = parser.parse_args()

connected = threading.Event()
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=f"publisher{random.getrandbits(32):08x}",
    clean_session=args.qos < 2,
    protocol=mqtt.MQTTv311,
)
if args.username:
    client.username_pw_set(args.username, args.password)
client.on_connect = on_connect
client.on_disconnect = on_disconnect
client.will_set(f"{args.topic}/status", "offline", qos=1, retain=True)
client.reconnect_delay_set(1, 8)
broker = urlsplit(args.broker)
try:
    client.connect(broker.hostname, broker.port or 1883)
except OSError as error:
    end(f"no broker at {args.broker}: {error}")
client.loop_start()
try:
    publish()
except KeyboardInterrupt:
    pass
print("Publishing stopped")
goodbye = publish_status("offline")
goodbye.wait_for_publish(5)
if not goodbye.is_published():
    end("the last message may be lost")
client.disconnect()
client.loop_stop()
