// The limit for TCP: an echo server directly on system calls. One thread, level-triggered
// epoll.
// Usage: tcp-epoll [blocking|threaded] ADDR:PORT [silent]
// It prints the lines of async-tcp-server, and with the first word those of tcp-server or
// of threaded-tcp-server, unless it is started with `silent`.

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, OPEN_FILES = 16384, EVENTS = 1024, SHOWN = 200, NAME = 64 };

static char peers[OPEN_FILES][NAME];
static int silent, blocking;

// One write per line, nothing escaped: the cheapest way to print.
static void tell(const char *what, const char *who, const char *rest, int length) {
    char line[SHOWN + 2 * NAME];
    if (silent)
        return;
    int end = snprintf(line, sizeof line, "%s%s%.*s\n", what, who, length, rest);
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
    tell(blocking ? "Received" : "Received from ", blocking ? "" : peers[client], data,
         2 + (length < SHOWN ? length : SHOWN));
    for (ssize_t done = 0, n; done < length; done += n)
        if ((n = write(client, data + 2 + done, length - done)) < 0)
            return -1;
    return 0;
}

static void add(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        perror("epoll_ctl");
}

static void name(const struct sockaddr_storage *address, char *text) {
    char host[INET6_ADDRSTRLEN], port[8];
    getnameinfo((const struct sockaddr *)address, sizeof *address, host, sizeof host, port,
                sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, NAME, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void accept_client(int epoll, int listener) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int client = accept(listener, (struct sockaddr *)&peer, &size);
    if (client < 0)
        return;
    if (client >= OPEN_FILES) {
        close(client);
        return;
    }
    name(&peer, peers[client]);
    tell("Connected by ", peers[client], "", 0);
    add(epoll, client);
}

static int listen_on(const char *where, const char *server) {
    char host[NAME], port[8];
    struct addrinfo *found, hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if ((sscanf(where, "[%63[^]]]:%7s", host, port) != 2 &&
         sscanf(where, "%63[^:]:%7s", host, port) != 2) ||
        getaddrinfo(host, port, &hints, &found) != 0) {
        fprintf(stderr, "error: ADDR:PORT is an IP address and a port, not %s\n", where);
        exit(2);
    }
    int on = 1, listener = socket(found->ai_family, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, found->ai_addr, found->ai_addrlen) < 0 ||
        listen(listener, BACKLOG) < 0) {
        fprintf(stderr, "Error: cannot listen on %s: %s\n", where, strerror(errno));
        exit(1);
    }
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    name(&address, host);
    printf("%s listening on %s\n", server, host);
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    const char *role = argc > 2 ? argv[1] : "", *server = "Async TCP server";
    blocking = strcmp(role, "blocking") == 0;
    if (blocking || strcmp(role, "threaded") == 0) {
        server = blocking ? "TCP server" : "Threaded TCP server";
        argv++;
    }
    silent = argc > 2 && argv[2] && strcmp(argv[2], "silent") == 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    // Writing to a client that has left must not end the server.
    signal(SIGPIPE, SIG_IGN);
    int epoll = epoll_create1(0);
    int listener = listen_on(argc > 1 ? argv[1] : "127.0.0.1:65432", server);
    add(epoll, listener);
    for (;;) {
        static struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_client(epoll, listener);
            } else if (echo(fd) < 0) {
                tell("Closing connection with ", peers[fd], "", 0);
                close(fd);
            }
        }
    }
}
