// The limit for ZeroMQ: libzmq, the original in C++.
// Usage: zeromq rep|sub|pull ENDPOINT [--topic TOPIC]...
// It prints the lines of zeromq-replier, zeromq-subscriber and zeromq-puller.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

// As many messages as the crate zeromq lets wait for a peer that does not read.
enum { WAITING = 100000, FRAMES = 16, SHOWN = 200 };

static void check(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

// Receives the frames of a message; returns how many.
static int receive(void *socket, zmq_msg_t *frames) {
    int count = 0;
    do {
        if (count == FRAMES) {
            fprintf(stderr, "too many frames\n");
            exit(1);
        }
        zmq_msg_init(&frames[count]);
        check(zmq_msg_recv(&frames[count], socket, 0), "recv");
    } while (zmq_msg_more(&frames[count++]));
    return count;
}

// One line, with no escapes: the least that it can cost.
static void tell(const char *what, zmq_msg_t *frames, int count) {
    fputs(what, stdout);
    for (int i = 0; i < count; i++) {
        int size = zmq_msg_size(&frames[i]);
        printf("%s%.*s", i ? " | " : "", size < SHOWN ? size : SHOWN,
               (char *)zmq_msg_data(&frames[i]));
    }
    putchar('\n');
}

static void answer(void *socket) {
    zmq_msg_t frames[FRAMES];
    for (;;) {
        int count = receive(socket, frames);
        tell("Received request: ", frames, count);
        for (int i = 0; i < count; i++)
            check(zmq_msg_send(&frames[i], socket, i + 1 < count ? ZMQ_SNDMORE : 0), "send");
    }
}

static void print(void *socket) {
    zmq_msg_t frames[FRAMES];
    for (;;) {
        int count = receive(socket, frames);
        tell("Received: ", frames, count);
        for (int i = 0; i < count; i++)
            zmq_msg_close(&frames[i]);
    }
}

static void listen_on(void *socket, const char *endpoint) {
    char bound[256];
    size_t size = sizeof bound;
    check(zmq_bind(socket, endpoint), endpoint);
    check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size), "endpoint");
    printf("Replier listening on %s\n", bound);
}

// To connect returns at once: only a monitor tells when there is a peer.
static void connect_to(void *context, void *socket, const char *endpoint) {
    zmq_msg_t frames[FRAMES];
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    check(zmq_socket_monitor(socket, "inproc://events", ZMQ_EVENT_HANDSHAKE_SUCCEEDED),
          "monitor");
    check(zmq_connect(monitor, "inproc://events"), "monitor");
    check(zmq_connect(socket, endpoint), endpoint);
    for (int count = receive(monitor, frames); count--;)
        zmq_msg_close(&frames[count]);
    zmq_socket_monitor(socket, NULL, 0);
    zmq_close(monitor);
    printf("Connected to %s\n", endpoint);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: zeromq rep|sub|pull ENDPOINT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    const char *role = argv[1], *endpoint = argv[2];
    int is_rep = strcmp(role, "rep") == 0, is_sub = strcmp(role, "sub") == 0;
    int waiting = WAITING;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, is_rep ? ZMQ_REP : is_sub ? ZMQ_SUB : ZMQ_PULL);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &waiting, sizeof waiting);
    if (is_sub && argc == 3)
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0), "subscribe");
    for (int i = 4; i < argc; i += 2)
        check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, argv[i], strlen(argv[i])), argv[i]);
    if (is_rep) {
        listen_on(socket, endpoint);
        answer(socket);
    }
    connect_to(context, socket, endpoint);
    print(socket);
}
