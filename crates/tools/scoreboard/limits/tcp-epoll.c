// The limit for TCP: an echo server that asks the kernel directly, with nothing in
// between. One thread, level-triggered epoll.
// Usage: tcp-epoll ADDR:PORT [silent]    (ADDR is an IPv4 address)
// It prints the lines of async-tcp-server, unless it is told to be silent.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, OPEN_FILES = 16384, EVENTS = 1024, SHOWN = 200 };

static struct sockaddr_in peers[OPEN_FILES];
static int silent;

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

// One write per line, and no escapes: the least that it can cost.
static void tell(const char *what, struct sockaddr_in peer, const char *rest, int length) {
    char line[SHOWN + 100], ip[INET_ADDRSTRLEN];
    if (silent)
        return;
    inet_ntop(AF_INET, &peer.sin_addr, ip, sizeof ip);
    int end = snprintf(line, sizeof line, "%s %s:%d%.*s\n", what, ip, ntohs(peer.sin_port),
                       length, rest);
    if (write(1, line, end) < 0)
        perror("write");
}

// The sockets block, so a short write cannot lose data. A client that never reads would
// stop all others: a shortcut, since the load always reads.
static int echo(int client) {
    char data[2 + 1024] = ": ";
    ssize_t length = read(client, data + 2, sizeof data - 2);
    if (length <= 0)
        return -1;
    tell("Received from", peers[client], data, 2 + (length < SHOWN ? length : SHOWN));
    for (ssize_t done = 0, n; done < length; done += n)
        if ((n = write(client, data + 2 + done, length - done)) < 0)
            return -1;
    return 0;
}

static void add(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void accept_client(int epoll, int listener) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int client = accept(listener, (struct sockaddr *)&peer, &size);
    if (client < 0)
        return;
    if (client >= OPEN_FILES) {
        close(client);
        return;
    }
    peers[client] = peer;
    tell("Connected by", peer, "", 0);
    add(epoll, client);
}

static int listen_on(const char *where) {
    char ip[INET_ADDRSTRLEN] = "";
    int port = 0, on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    sscanf(where, "%15[0-9.]:%d", ip, &port);
    address.sin_port = htons(port);
    if (!inet_aton(ip, &address.sin_addr))
        check(-1, where);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    check(bind(listener, (struct sockaddr *)&address, size), "bind");
    check(listen(listener, BACKLOG), "listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("Async TCP server listening on %s:%d\n", ip, ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    struct rlimit files = {OPEN_FILES, OPEN_FILES};
    setrlimit(RLIMIT_NOFILE, &files);
    // Writing to a client that left is an error of that client, and not the end.
    signal(SIGPIPE, SIG_IGN);
    silent = argc > 2 && strcmp(argv[2], "silent") == 0;
    int epoll = epoll_create1(0);
    int listener = listen_on(argc > 1 ? argv[1] : "127.0.0.1:65432");
    add(epoll, listener);
    for (;;) {
        static struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_client(epoll, listener);
            } else if (echo(fd) < 0) {
                tell("Closing connection with", peers[fd], "", 0);
                close(fd);
            }
        }
    }
}
