// The limit for ZeroMQ: libzmq, the original in C++.
// Usage: zeromq rep|sub|pull ENDPOINT [--topic TOPIC]... [--work SECONDS] [--count COUNT]
// It prints the lines of zeromq-replier, zeromq-subscriber and zeromq-puller.

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

// How many messages wait for a peer that does not read, as in the crate zeromq; and after
// how long a silence to check whether the peer has gone.
enum { WAITING = 100000, FRAMES = 16, SILENCE_MS = 100 };
enum { EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED };

static const char *endpoint, *sender;
static void *monitor;

static void check(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

// Prints the next event of the connection, if there is one; with flags 0 it waits.
static void tell_event(int flags) {
    zmq_msg_t event, address;
    uint16_t kind;
    zmq_msg_init(&event);
    zmq_msg_init(&address);
    if (zmq_msg_recv(&event, monitor, flags) >= 0) {
        check(zmq_msg_recv(&address, monitor, 0), "monitor");
        memcpy(&kind, zmq_msg_data(&event), sizeof kind);
        if (kind == ZMQ_EVENT_DISCONNECTED)
            fprintf(stderr, "Lost the %s: it closed the connection\n", sender);
        else
            printf("Connected to %s\n", endpoint);
    }
    zmq_msg_close(&event);
    zmq_msg_close(&address);
}

// Receives the frames of a message; returns how many.
static int receive(void *socket, zmq_msg_t *frames) {
    int count = 0;
    do {
        check(count == FRAMES ? -1 : zmq_msg_init(&frames[count]), "too many frames");
        while (zmq_msg_recv(&frames[count], socket, 0) < 0) {
            check(zmq_errno() == EAGAIN ? 0 : -1, "recv");
            tell_event(ZMQ_DONTWAIT);
        }
    } while (zmq_msg_more(&frames[count++]));
    return count;
}

// One line, nothing escaped: the cheapest way to print.
static void tell(const char *what, zmq_msg_t *frames, int count, int shown) {
    fputs(what, stdout);
    for (int i = 0; i < count; i++) {
        int size = zmq_msg_size(&frames[i]);
        printf("%s%.*s", i ? " | " : "", size < shown ? size : shown,
               (char *)zmq_msg_data(&frames[i]));
    }
    putchar('\n');
}

static void answer(void *socket) {
    zmq_msg_t frames[FRAMES];
    char bound[256];
    size_t size = sizeof bound;
    check(zmq_bind(socket, endpoint), endpoint);
    check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size), "endpoint");
    printf("Replier listening on %s\n", bound);
    for (;;) {
        int count = receive(socket, frames);
        tell("Received request: ", frames, count, 200);
        for (int i = 0; i < count; i++)
            check(zmq_msg_send(&frames[i], socket, i + 1 < count ? ZMQ_SNDMORE : 0), "send");
    }
}

static void print(void *context, void *socket, double work, long count, int shown) {
    zmq_msg_t frames[FRAMES];
    int silence = SILENCE_MS;
    // zmq_connect returns at once: only a monitor shows when there is a peer.
    monitor = zmq_socket(context, ZMQ_PAIR);
    check(zmq_socket_monitor(socket, "inproc://events", EVENTS), "monitor");
    check(zmq_connect(monitor, "inproc://events"), "monitor");
    check(zmq_connect(socket, endpoint), endpoint);
    tell_event(0);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &silence, sizeof silence);
    while (count-- > 0) {
        int length = receive(socket, frames);
        tell("Received: ", frames, length, shown);
        while (length--)
            zmq_msg_close(&frames[length]);
        if (work > 0)
            usleep(work * 1e6);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: zeromq rep|sub|pull ENDPOINT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    endpoint = argv[2];
    int is_rep = strcmp(argv[1], "rep") == 0, is_sub = strcmp(argv[1], "sub") == 0;
    int waiting = WAITING, wants_all = is_sub;
    long count = LONG_MAX;
    double work = 0;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, is_rep ? ZMQ_REP : is_sub ? ZMQ_SUB : ZMQ_PULL);
    sender = is_sub ? "publisher" : "pusher";
    zmq_setsockopt(socket, ZMQ_SNDHWM, &waiting, sizeof waiting);
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--count") == 0) count = atol(argv[i + 1]);
        if (strcmp(argv[i], "--work") == 0) work = atof(argv[i + 1]);
        if (strcmp(argv[i], "--topic") != 0) continue;
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, argv[i + 1], strlen(argv[i + 1])), "topic");
        wants_all = 0;
    }
    if (wants_all)
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0), "topic");
    if (is_rep)
        answer(socket);
    print(context, socket, work, count, is_sub ? INT_MAX : 200);
}
