// The limit for UDP: recvfrom and sendto in a loop.
// Usage: udp [async] ADDR:PORT [silent]
// It prints the lines of udp-server, and with the first word those of async-udp-server,
// unless it is started with `silent`.

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_DATAGRAM = 65535, SHOWN = 200 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

// One write per line, nothing escaped: the cheapest way to print.
static void tell(const char *before, const char *data, int length, const char *after,
                 const union address *who) {
    char line[SHOWN + 100], ip[INET6_ADDRSTRLEN];
    int is_v6 = who->any.sa_family == AF_INET6;
    inet_ntop(who->any.sa_family, is_v6 ? (void *)&who->v6.sin6_addr : &who->v4.sin_addr, ip,
              sizeof ip);
    int end = snprintf(line, sizeof line, is_v6 ? "%s%.*s%s[%s]:%d\n" : "%s%.*s%s%s:%d\n",
                       before, length, data, after, ip, ntohs(who->v4.sin_port));
    if (write(1, line, end) < 0)
        perror("write");
}

static int bind_to(const char *where, const char *name) {
    char host[INET6_ADDRSTRLEN], port[8];
    struct addrinfo *found, hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if ((sscanf(where, "[%45[^]]]:%7s", host, port) != 2 &&
         sscanf(where, "%45[^:]:%7s", host, port) != 2) ||
        getaddrinfo(host, port, &hints, &found) != 0) {
        fprintf(stderr, "error: ADDR:PORT is an IP address and a port, not %s\n", where);
        exit(2);
    }
    int server = socket(found->ai_family, SOCK_DGRAM, 0);
    if (bind(server, found->ai_addr, found->ai_addrlen) < 0) {
        fprintf(stderr, "Error: cannot listen on %s: %s\n", where, strerror(errno));
        exit(1);
    }
    union address here;
    socklen_t size = sizeof here;
    getsockname(server, &here.any, &size);
    tell(name, "", 0, " listening on ", &here);
    return server;
}

int main(int argc, char **argv) {
    static char data[MAX_DATAGRAM];
    int is_async = argc > 2 && strcmp(argv[1], "async") == 0;
    argv += is_async;
    int silent = argc > 2 && argv[2] && strcmp(argv[2], "silent") == 0;
    int server = bind_to(argc > 1 ? argv[1] : "127.0.0.1:65432",
                         is_async ? "Async UDP server" : "UDP server");
    for (;;) {
        union address peer;
        socklen_t size = sizeof peer;
        ssize_t length = recvfrom(server, data, sizeof data, 0, &peer.any, &size);
        if (length < 0) {
            perror("recvfrom");
            continue;
        }
        if (!silent && length == 0)
            tell("Received ", "(empty)", SHOWN, " from ", &peer);
        else if (!silent)
            tell("Received ", data, length < SHOWN ? length : SHOWN, " from ", &peer);
        if (sendto(server, data, length, 0, &peer.any, size) < 0)
            perror("sendto");
    }
}
