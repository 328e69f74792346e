/* The load of the benchmark for what wrk does not do: large bodies and WebSockets.
 *
 *   load download PORT HOST STREAMS SECONDS BYTES   GET /bytes/BYTES, one after another a stream
 *   load upload   PORT HOST STREAMS SECONDS BYTES   POST of BYTES, likewise
 *   load echo     PORT HOST SOCKETS SECONDS         one short message a WebSocket under way
 *   load hold     PORT HOST SOCKETS                 opens WebSockets and leaves them idle
 *
 * All to 127.0.0.1:PORT with HOST in the Host field. A transfer that has begun when the time is up
 * is finished and counted, so that only bytes count that have come all the way, and no peer is left
 * with half a request. Bodies are thrown away in the kernel (MSG_TRUNC, see tcp(7)).
 *
 * Prints one object on one line, {"count": N, "seconds": S}, where N is body bytes or messages;
 * hold prints {"held": N} and waits to be ended. Whatever goes wrong, with 10 s without a byte among
 * it, is one line on stderr and exit status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES 262144 /* body bytes handed to the kernel in one call */
#define HEAD_BYTES 16384   /* the longest response head */
#define MESSAGE_BYTES 32   /* the payload of an echoed message */
#define MOST_CONNECTIONS 4096
#define SILENCE_S 10       /* without a byte: the peer has lost something */

static int port;
static const char *host;
static double deadline;
static int uploads;
static uint64_t body_bytes;
static char zeros[CHUNK_BYTES];

static void fail(const char *what) {
    int late = errno == EAGAIN;
    fprintf(stderr, "%s: %s\n", what, late ? "nothing for 10 s" : errno ? strerror(errno) : "wrong");
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval silence = {.tv_sec = SILENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    return fd;
}

static void send_all(int fd, const char *data, size_t length) {
    while (length) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent <= 0) fail("send");
        data += sent;
        length -= (size_t)sent;
    }
}

static size_t receive(int fd, char *data, size_t most, int flags) {
    errno = 0;
    ssize_t got = recv(fd, data, most, flags);
    if (got == 0) errno = ECONNRESET; /* an end is as unwanted as a reset */
    if (got <= 0) fail("receive");
    return (size_t)got;
}

/* Reads a response head and returns how many body bytes came with it. */
static size_t read_head(int fd, char *head, const char *status) {
    size_t length = 0;
    char *end = NULL;
    while (!end) {
        if (length == HEAD_BYTES) fail("the response head");
        length += receive(fd, head + length, HEAD_BYTES - length, 0);
        head[length] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    if (strncmp(head, "HTTP/1.1 ", 9) || strncmp(head + 9, status, 3)) {
        head[strcspn(head, "\r\n")] = 0;
        fprintf(stderr, "answered %s\n", head);
        exit(1);
    }
    end[2] = 0;
    return length - (size_t)(end + 4 - head);
}

static void read_response(int fd) {
    char head[HEAD_BYTES + 1];
    size_t here = read_head(fd, head, "200");
    char *field = strcasestr(head, "\r\ncontent-length:");
    errno = 0;
    if (!field) fail("a response without Content-Length");
    uint64_t left = strtoull(field + 17, NULL, 10);
    if (left != (uploads ? 2 : body_bytes) || here > left) fail("the length of the response");
    for (left -= here; left;)
        left -= receive(fd, NULL, left < CHUNK_BYTES ? left : CHUNK_BYTES, MSG_TRUNC);
}

static void send_request(int fd) {
    char head[512];
    int length = uploads
        ? snprintf(head, sizeof head,
                   "POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\n"
                   "Content-Length: %llu\r\n\r\n", host, (unsigned long long)body_bytes)
        : snprintf(head, sizeof head, "GET /bytes/%llu HTTP/1.1\r\nHost: %s\r\n\r\n",
                   (unsigned long long)body_bytes, host);
    send_all(fd, head, (size_t)length);
    for (uint64_t left = uploads ? body_bytes : 0; left;) {
        size_t part = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        send_all(fd, zeros, part);
        left -= part;
    }
}

static void *transfer(void *done) {
    int fd = dial();
    do {
        send_request(fd);
        read_response(fd);
        *(uint64_t *)done += body_bytes;
    } while (now() < deadline);
    close(fd);
    return NULL;
}

static uint64_t transfer_all(int streams) {
    pthread_t threads[MOST_CONNECTIONS];
    uint64_t done[MOST_CONNECTIONS] = {0}, total = 0;
    for (int i = 0; i < streams; i++)
        if (pthread_create(&threads[i], NULL, transfer, &done[i])) fail("pthread_create");
    for (int i = 0; i < streams; i++) {
        pthread_join(threads[i], NULL);
        total += done[i];
    }
    return total;
}

/* A WebSocket with the key of RFC 6455 section 1.3, the only one that backend.c answers. */
static int open_websocket(void) {
    char head[HEAD_BYTES + 1];
    int fd = dial();
    int length = snprintf(head, sizeof head,
        "GET /echo HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", host);
    send_all(fd, head, (size_t)length);
    errno = 0;
    if (read_head(fd, head, "101")) fail("bytes before the first message");
    return fd;
}

/* A masked text frame, and the same without mask as it must come back. */
static void make_message(char *masked, char *plain) {
    const char mask[4] = {0x12, 0x34, 0x56, 0x78};
    masked[0] = plain[0] = (char)0x81;
    masked[1] = (char)(0x80 | MESSAGE_BYTES);
    plain[1] = MESSAGE_BYTES;
    memcpy(masked + 2, mask, 4);
    for (int i = 0; i < MESSAGE_BYTES; i++) {
        plain[2 + i] = (char)('a' + i % 26);
        masked[6 + i] = (char)(plain[2 + i] ^ mask[i % 4]);
    }
}

static uint64_t echo_all(const int *fds, int count, int poller) {
    static size_t got[MOST_CONNECTIONS];
    static char in[MOST_CONNECTIONS][2 + MESSAGE_BYTES];
    char masked[6 + MESSAGE_BYTES], plain[2 + MESSAGE_BYTES];
    uint64_t messages = 0;
    make_message(masked, plain);
    for (int i = 0; i < count; i++) send_all(fds[i], masked, sizeof masked);
    while (now() < deadline) {
        struct epoll_event events[64];
        int ready = epoll_wait(poller, events, 64, SILENCE_S * 1000);
        errno = ready ? errno : EAGAIN;
        if (ready <= 0) fail("echo");
        for (int e = 0; e < ready; e++) {
            uint32_t i = events[e].data.u32;
            got[i] += receive(fds[i], in[i] + got[i], sizeof plain - got[i], 0);
            if (got[i] < sizeof plain) continue;
            errno = 0;
            if (memcmp(in[i], plain, sizeof plain)) fail("an echo that differs");
            got[i] = 0;
            messages++;
            send_all(fds[i], masked, sizeof masked);
        }
    }
    return messages;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: load download|upload|echo|hold PORT HOST COUNT [SECONDS [BYTES]]\n");
        return 2;
    }
    const char *mode = argv[1];
    int count = atoi(argv[4]), fds[MOST_CONNECTIONS];
    double seconds = argc > 5 ? atof(argv[5]) : 0;
    port = atoi(argv[2]);
    host = argv[3];
    body_bytes = argc > 6 ? strtoull(argv[6], NULL, 10) : 0;
    uploads = !strcmp(mode, "upload");
    if (count < 1 || count > MOST_CONNECTIONS) return 2;

    int poller = epoll_create1(0), websockets = !strcmp(mode, "echo") || !strcmp(mode, "hold");
    for (int i = 0; websockets && i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        fds[i] = open_websocket();
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event) < 0) fail("epoll_ctl");
    }
    if (!strcmp(mode, "hold")) {
        printf("{\"held\": %d}\n", count);
        fflush(stdout);
        for (;;) pause();
    }
    double start = now();
    deadline = start + seconds;
    uint64_t done = websockets ? echo_all(fds, count, poller) : transfer_all(count);
    printf("{\"count\": %llu, \"seconds\": %.6f}\n", (unsigned long long)done, now() - start);
    return 0;
}
