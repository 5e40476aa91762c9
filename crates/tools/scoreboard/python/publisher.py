"""An MQTT publisher on paho-mqtt: the twin of mqtt-publisher."""

import argparse
import itertools
import os
import random
import signal
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

BROKER = os.environ.get("MQTT_URL", "mqtt://127.0.0.1:1883")

sys.stdout.reconfigure(line_buffering=True)


def on_socket_open(client, userdata, sock):
    # Else TCP would hold a small message back until the last one has arrived.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        print(f"{args.broker} refuses: {reason_code}", file=sys.stderr)
        os._exit(1)  # This is the library's thread: sys.exit() would end it alone.
    print(f"Connected to {args.broker}")
    publish_status("online")
    connected.set()


def on_disconnect(client, userdata, flags, reason_code, properties):
    connected.clear()
    if reason_code.is_failure:
        print("Lost connection, reconnecting", file=sys.stderr)


def publish_status(text):
    return client.publish(f"{args.topic}/status", text, qos=1, retain=True)


def wait(info, timeout=None):
    try:
        info.wait_for_publish(timeout)
    except RuntimeError:
        pass  # Lost with its connection, as QoS 0 allows.


def publish():
    for number in itertools.count() if args.count is None else range(args.count):
        if number and args.interval:
            time.sleep(args.interval)
        connected.wait()
        temperature = f"{random.uniform(20.0, 25.0):.2f}"
        print(f"Publishing: {temperature}")
        # As in the example: the next one when this one is acknowledged, or sent.
        wait(client.publish(args.topic, temperature, args.qos))


parser = argparse.ArgumentParser()
parser.add_argument("--broker", default=BROKER)
parser.add_argument("--topic", default="myhome/livingroom/temperature")
parser.add_argument("--qos", type=int, choices=(0, 1, 2), default=0)
parser.add_argument("--count", type=int)
parser.add_argument("--interval", type=float, default=5)
args = parser.parse_args()
signal.signal(signal.SIGTERM, signal.default_int_handler)

connected = threading.Event()
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=f"publisher{random.getrandbits(32):08x}",
    # Exactly once needs a broker that remembers what it has.
    clean_session=args.qos < 2,
    protocol=mqtt.MQTTv311,
)
client.on_socket_open = on_socket_open
client.on_connect = on_connect
client.on_disconnect = on_disconnect
client.will_set(f"{args.topic}/status", "offline", qos=1, retain=True)
client.reconnect_delay_set(1, 8)
broker = urlsplit(args.broker)
client.connect(broker.hostname, broker.port or 1883, 60)
client.loop_start()
try:
    publish()
except KeyboardInterrupt:
    pass
wait(publish_status("offline"), 0.5)
client.disconnect()
client.loop_stop()
print("Publishing stopped")
