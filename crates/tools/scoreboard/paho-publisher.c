/* Publishes messages by the Paho C library alone: what mqtt-publisher can hope for.
 * Usage: paho-publisher URL TOPIC QOS COUNT. It prints what it sends, as that does. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "MQTTAsync.h"

/* Messages not acknowledged yet, and of them on their way. mqtt-publisher has one. */
#define MAX_PENDING 64
#define IN_FLIGHT 20

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connected, pending;

static void on_connect(void *context, MQTTAsync_successData *data)
{
    pthread_mutex_lock(&mutex);
    connected = 1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void on_delivered(void *context, MQTTAsync_successData *data)
{
    pthread_mutex_lock(&mutex);
    pending--;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

static void on_failure(void *context, MQTTAsync_failureData *data)
{
    fprintf(stderr, "the Paho library fails: %d\n", data ? data->code : 0);
    exit(1);
}

/* Waits until so few messages are pending. */
static void wait_for(int most)
{
    pthread_mutex_lock(&mutex);
    while (!connected || pending > most)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int qos = atoi(argv[3]), count = atoi(argv[4]);
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    if (MQTTAsync_createWithOptions(&client, argv[1], "pahopublisher",
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL, &create))
        return 1;
    connect.cleansession = 1;
    connect.maxInflight = IN_FLIGHT;
    connect.onSuccess = on_connect;
    connect.onFailure = on_failure;
    if (MQTTAsync_connect(client, &connect))
        return 1;
    response.onSuccess = on_delivered;
    response.onFailure = on_failure;
    for (int i = 0; i < count; i++) {
        wait_for(MAX_PENDING - 1);
        char text[16];
        int length = snprintf(text, sizeof text, "%.2f", 20 + 5 * drand48());
        printf("Publishing: %s\n", text);
        fflush(stdout);
        pthread_mutex_lock(&mutex);
        pending++;
        pthread_mutex_unlock(&mutex);
        if (MQTTAsync_send(client, argv[2], length, text, qos, 0, &response))
            return 1;
    }
    wait_for(0);
    return 0;
}
