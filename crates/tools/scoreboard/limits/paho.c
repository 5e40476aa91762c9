// The limit for MQTT: the C library that the examples use through its Rust crate.
// Usage: paho publish|subscribe [--broker URL] [--topic TOPIC]... [--qos QOS]
//        publish: [--count COUNT] [--interval SECONDS]
//        subscribe: [--persistent] [--client-id NAME]
// It prints the lines of mqtt-publisher and mqtt-subscriber.

#include <MQTTAsync.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// In flight to the broker, as in mqtt-publisher; and queued in the library.
enum { IN_FLIGHT = 1, MAX_PENDING = 64, MAX_TOPICS = 8, TEXT = 16 };

static MQTTAsync client;
static const char *broker, *topics[MAX_TOPICS + 1] = {"myhome/livingroom/temperature"};
static char name[64], status[256];
static int publishes, qos, retained;
// Free places in the library. They are closed until it has connected.
static sem_t places;
static int closed_places = MAX_PENDING;

static void check(int result, const char *what) {
    if (result == MQTTASYNC_SUCCESS) return;
    fprintf(stderr, "%s fails: %d\n", what, result);
    exit(1);
}

// No connection at the start, or a refused topic. A connection lost later comes back.
static void on_failure(void *topic, MQTTAsync_failureData *data) {
    if (topic || closed_places > 0)
        check(data ? data->code : MQTTASYNC_FAILURE, topic ? topic : broker);
}

static void on_done(void *text, MQTTAsync_successData *data) {
    if (publishes) free(text);
    else printf("Subscribed to '%s'\n", (char *)text);
    sem_post(&places);
}

static void on_connection_lost(void *context, char *cause) {
    fprintf(stderr, "Lost connection, reconnecting\n");
}

static int on_message(void *context, char *topic, int length, MQTTAsync_message *it) {
    printf("Topic: %s | Message: %.*s\n", topic, it->payloadlen, (char *)it->payload);
    MQTTAsync_freeMessage(&it);
    MQTTAsync_free(topic);
    return 1;
}

// The first time, and again after each lost connection.
static void on_connected(void *context, char *cause) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_done;
    response.onFailure = on_failure;
    for (const char **topic = topics; !publishes && *topic; topic++) {
        response.context = (void *)*topic;
        check(MQTTAsync_subscribe(client, *topic, qos, &response), *topic);
    }
    if (publishes) printf("Connected to %s\n", broker);
    if (publishes) check(MQTTAsync_send(client, status, 6, "online", 1, 1, NULL), status);
    for (; closed_places > 0; closed_places--) sem_post(&places);
}

// Gives a message to the library, again if it was lost with its connection.
static void deliver(void *text, MQTTAsync_failureData *loss) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_done;
    response.onFailure = deliver;
    response.context = text;
    check(MQTTAsync_send(client, *topics, strlen(text), text, qos, retained, &response), *topics);
}

static void publish(long count, double seconds, const sigset_t *stop) {
    struct timespec pause = {seconds, (seconds - (long)seconds) * 1e9};
    MQTTAsync_disconnectOptions goodbye = MQTTAsync_disconnectOptions_initializer;
    for (long i = 0; i != count; i++) {
        if (i > 0 && seconds > 0 && sigtimedwait(stop, NULL, &pause) == SIGINT) break;
        sem_wait(&places);
        char *text = malloc(TEXT);
        snprintf(text, TEXT, "%.2f", 20 + 5 * drand48());
        printf("Publishing: %s\n", text);
        deliver(text, NULL);
    }
    puts("Publishing stopped");
    for (int i = 0; i < MAX_PENDING; i++) sem_wait(&places);
    // The status.
    *topics = status;
    qos = retained = 1;
    deliver(strdup("offline"), NULL);
    sem_wait(&places);
    goodbye.onSuccess = on_done;
    check(MQTTAsync_disconnect(client, &goodbye), broker);
    sem_wait(&places);
}

int main(int argc, char **argv) {
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    long count = -1;
    double interval = 5;
    const char **next = topics;
    sigset_t stop;
    publishes = argc > 1 && strcmp(argv[1], "publish") == 0;
    broker = getenv("MQTT_URL") ? getenv("MQTT_URL") : "mqtt://127.0.0.1:1883";
    snprintf(name, sizeof name, "limit%d", getpid());
    for (char **word = argv + 2; word + 1 < argv + argc; word++) {
        if (strcmp(*word, "--persistent") == 0) connect.cleansession = 0;
        if (strcmp(*word, "--broker") == 0) broker = *++word;
        else if (strcmp(*word, "--qos") == 0) qos = atoi(*++word);
        else if (strcmp(*word, "--count") == 0) count = atol(*++word);
        else if (strcmp(*word, "--interval") == 0) interval = atof(*++word);
        else if (strcmp(*word, "--client-id") == 0) strncpy(name, *++word, sizeof name - 1);
        else if (strcmp(*word, "--topic") == 0 && next < topics + MAX_TOPICS) *next++ = *++word;
    }
    snprintf(status, sizeof status, "%s/status", *topics);
    setlinebuf(stdout);
    sem_init(&places, 0, 0);
    // The threads of the library inherit this: `publish` waits for Ctrl-C.
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    if (publishes && interval > 0) sigprocmask(SIG_BLOCK, &stop, NULL);
    create.sendWhileDisconnected = 1;
    check(MQTTAsync_createWithOptions(&client, broker, name, MQTTCLIENT_PERSISTENCE_NONE,
                                      NULL, &create), broker);
    MQTTAsync_setCallbacks(client, NULL, on_connection_lost, on_message, NULL);
    MQTTAsync_setConnected(client, NULL, on_connected);
    will.topicName = status;
    will.message = "offline";
    will.qos = will.retained = 1;
    if (publishes) connect.will = &will;
    connect.maxInflight = IN_FLIGHT;
    connect.automaticReconnect = 1;
    connect.onFailure = on_failure;
    check(MQTTAsync_connect(client, &connect), broker);
    if (publishes) publish(count, interval, &stop);
    else pause();
}
