// The limit for UDP: recvfrom and sendto in a loop, with nothing in between.
// Usage: udp ADDR:PORT [silent]    (ADDR is an IPv4 address)
// It prints the lines of udp-server, unless it is told to be silent.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_DATAGRAM = 65535, SHOWN = 200 };

static void check(ssize_t result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

// One write per line, and no escapes: the least that it can cost.
static void tell(struct sockaddr_in peer, const char *data, ssize_t length) {
    char line[SHOWN + 100], ip[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peer.sin_addr, ip, sizeof ip);
    int end = snprintf(line, sizeof line, "Received %.*s from %s:%d\n",
                       (int)(length < SHOWN ? length : SHOWN), data, ip, ntohs(peer.sin_port));
    check(write(1, line, end), "write");
}

static int bind_to(const char *where) {
    char ip[INET_ADDRSTRLEN] = "";
    int port = 0, server = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    sscanf(where, "%15[0-9.]:%d", ip, &port);
    address.sin_port = htons(port);
    if (!inet_aton(ip, &address.sin_addr))
        check(-1, where);
    check(bind(server, (struct sockaddr *)&address, size), "bind");
    getsockname(server, (struct sockaddr *)&address, &size);
    printf("UDP server listening on %s:%d\n", ip, ntohs(address.sin_port));
    fflush(stdout);
    return server;
}

int main(int argc, char **argv) {
    static char data[MAX_DATAGRAM];
    int silent = argc > 2 && strcmp(argv[2], "silent") == 0;
    int server = bind_to(argc > 1 ? argv[1] : "127.0.0.1:65432");
    for (;;) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        ssize_t length =
            recvfrom(server, data, sizeof data, 0, (struct sockaddr *)&peer, &size);
        check(length, "recvfrom");
        if (!silent)
            tell(peer, data, length);
        if (sendto(server, data, length, 0, (struct sockaddr *)&peer, size) < 0)
            perror("sendto");
    }
}
