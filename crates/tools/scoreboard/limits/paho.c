// The limit for MQTT: the C library that the examples call by way of its crate.
// Usage: paho publish|subscribe [--broker URL] [--topic TOPIC] [--qos QOS]
//        [--count COUNT] [--interval 0]    (without --broker: MQTT_URL)
// It prints the lines of mqtt-publisher and mqtt-subscriber.

#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// On their way to the broker, as in mqtt-publisher; and waiting in the library for that.
enum { IN_FLIGHT = 1, MAX_PENDING = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int pending;

static void check(int result, const char *what) {
    if (result != MQTTASYNC_SUCCESS) {
        fprintf(stderr, "%s fails: %d\n", what, result);
        exit(1);
    }
}

static void on_failure(void *what, MQTTAsync_failureData *data) {
    check(data ? data->code : MQTTASYNC_FAILURE, what);
}

// Adds to what the library has not done yet.
static void count_pending(int more) {
    pthread_mutex_lock(&mutex);
    pending += more;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void on_done(void *what, MQTTAsync_successData *data) {
    (void)what, (void)data;
    count_pending(-1);
}

// Waits until there is no more than that to do.
static void wait_for(int most) {
    pthread_mutex_lock(&mutex);
    while (pending > most)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *message) {
    (void)context, (void)length;
    printf("Topic: %s | Message: %.*s\n", topic, message->payloadlen,
           (char *)message->payload);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void publish(MQTTAsync client, const char *topic, int qos, long count) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_done;
    response.onFailure = on_failure;
    response.context = "publishing";
    for (long i = 0; i < count; i++) {
        wait_for(MAX_PENDING - 1);
        char text[16];
        int length = snprintf(text, sizeof text, "%.2f", 20 + 5 * drand48());
        printf("Publishing: %s\n", text);
        count_pending(1);
        check(MQTTAsync_send(client, topic, length, text, qos, 0, &response), "sending");
    }
    wait_for(0);
    puts("Publishing stopped");
}

static void subscribe(MQTTAsync client, const char *topic, int qos) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_done;
    response.onFailure = on_failure;
    response.context = "subscribing";
    count_pending(1);
    check(MQTTAsync_subscribe(client, topic, qos, &response), "subscribing");
    wait_for(0);
    printf("Subscribed to '%s'\n", topic);
    for (;;)
        pause();
}

int main(int argc, char **argv) {
    const char *broker = getenv("MQTT_URL"), *topic = "myhome/livingroom/temperature";
    int qos = 0, subscribes = argc > 1 && strcmp(argv[1], "subscribe") == 0;
    long count = 1000;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--broker") == 0) broker = argv[i + 1];
        if (strcmp(argv[i], "--topic") == 0) topic = argv[i + 1];
        if (strcmp(argv[i], "--qos") == 0) qos = atoi(argv[i + 1]);
        if (strcmp(argv[i], "--count") == 0) count = atol(argv[i + 1]);
    }
    if (!broker)
        broker = "mqtt://127.0.0.1:1883";
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    char name[32];
    snprintf(name, sizeof name, "limit%d", getpid());
    MQTTAsync client;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    check(MQTTAsync_create(&client, broker, name,
                           MQTTCLIENT_PERSISTENCE_NONE, NULL), "--broker");
    check(MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL), "callbacks");
    connect.maxInflight = IN_FLIGHT;
    connect.onSuccess = on_done;
    connect.onFailure = on_failure;
    connect.context = "connecting";
    count_pending(1);
    check(MQTTAsync_connect(client, &connect), "connecting");
    wait_for(0);
    if (!subscribes)
        printf("Connected to %s\n", broker);
    subscribes ? subscribe(client, topic, qos) : publish(client, topic, qos, count);
}
