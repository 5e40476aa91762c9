// The limit that the async server is measured against: an echo server that asks the
// kernel directly, with nothing in between. One thread, level-triggered epoll.
// Usage: epoll-echo 127.0.0.1:PORT [--story]
// With --story it prints a line a message, as the servers on the slides do.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, OPEN_FILES = 65536, EVENTS = 1024 };

static struct sockaddr_in peers[OPEN_FILES];

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

// The whole line at once, one write, and with no escapes: the least it can cost.
static void tell(int client, const char *data, ssize_t length) {
    char line[1200], ip[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peers[client].sin_addr, ip, sizeof ip);
    int end = snprintf(line, sizeof line, "Received from %s:%d: %.*s\n", ip,
                       ntohs(peers[client].sin_port), (int)length, data);
    if (write(1, line, end) < 0)
        perror("write");
}

// The sockets block, so a short write cannot lose data. Who never reads would stop
// all others: a shortcut, since the load always reads.
static int echo(int client, int story) {
    char data[1024];
    ssize_t length = read(client, data, sizeof data);
    if (length > 0 && story)
        tell(client, data, length);
    for (ssize_t done = 0, n; done < length; done += n)
        if ((n = write(client, data + done, length - done)) < 0)
            return -1;
    return length > 0 ? 0 : -1;
}

static void add(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

int main(int argc, char **argv) {
    const char *colon = argc > 1 ? strchr(argv[1], ':') : NULL;
    int port = colon ? atoi(colon + 1) : 0;
    int story = argc > 2 && strcmp(argv[2], "--story") == 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    check(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listener, BACKLOG), "listen");
    // Writing to a client that left is an error of that client, not the end.
    signal(SIGPIPE, SIG_IGN);
    add(epoll, listener);
    for (;;) {
        static struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                struct sockaddr_in peer;
                socklen_t size = sizeof peer;
                int client = accept(listener, (struct sockaddr *)&peer, &size);
                if (client < 0 || client >= OPEN_FILES)
                    continue;
                peers[client] = peer;
                add(epoll, client);
            } else if (echo(fd, story) < 0) {
                close(fd);
            }
        }
    }
}
