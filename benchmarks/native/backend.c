/* The web app behind every peer of the benchmark: one process, one epoll loop, so that it is
 * never what decides. It keeps to what the load asks for:
 *
 *   GET /bytes/N                  200 with N zero bytes and the head lines of a usual web server
 *   POST with Content-Length      the body is thrown away, then 200 with "ok"
 *   GET with Upgrade: websocket   echoes each message of up to 125 bytes, which must be unfragmented
 *
 * The answer to the handshake is computed for one key, the example of RFC 6455 section 1.3, which
 * is what load.c sends: so there is no SHA-1 here. Bodies are thrown away in the kernel
 * (MSG_TRUNC, see tcp(7)). Whatever else comes ends the connection with a line on stderr.
 *
 * Prints its port as {"port": N} once it listens, on 127.0.0.1. Runs until it is ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define IN_BYTES 32768    /* the longest request head, or what one read of messages may bring */
#define OUT_BYTES 32768   /* a response head, or the echoes of one read (never longer) */
#define CHUNK_BYTES 262144 /* body bytes handed to the kernel in one call */
#define SHORT_FRAME 125   /* the longest payload whose length fits the second byte, RFC 6455 5.2 */

enum state { HEAD, BODY, ECHO };

struct conn {
    int fd;
    enum state state;
    int writing;           /* waits for EPOLLOUT; nothing is read meanwhile */
    size_t in_len, out_len, out_sent;
    uint64_t body_left;    /* of the request, not yet read */
    uint64_t zeros_left;   /* of the response, not yet sent */
    char in[IN_BYTES + 1]; /* room for the 0 that strcasestr needs */
    char out[OUT_BYTES];
};

static char zeros[CHUNK_BYTES];
static int poller;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int refuse(const char *why) {
    fprintf(stderr, "backend: %s\n", why);
    return -1;
}

static void want(struct conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0) die("epoll_ctl");
}

/* Sends what is due. 0: all sent or the socket is full; -1: the connection is over. */
static int flush(struct conn *c) {
    while (c->out_sent < c->out_len || c->zeros_left) {
        size_t body = c->zeros_left < CHUNK_BYTES ? c->zeros_left : CHUNK_BYTES;
        size_t head = c->out_len - c->out_sent;
        struct iovec parts[2] = {{c->out + c->out_sent, head}, {zeros, body}};
        ssize_t sent = writev(c->fd, parts, 2);
        if (sent < 0) {
            if (errno != EAGAIN) return -1;
            if (!c->writing) want(c, EPOLLOUT);
            c->writing = 1;
            return 0;
        }
        size_t of_head = (size_t)sent < head ? (size_t)sent : head;
        c->out_sent += of_head;
        c->zeros_left -= (uint64_t)sent - of_head;
    }
    c->out_sent = c->out_len = 0;
    if (c->writing) want(c, EPOLLIN);
    c->writing = 0;
    return 0;
}

static void consume(struct conn *c, size_t bytes) {
    c->in_len -= bytes;
    memmove(c->in, c->in + bytes, c->in_len);
}

static void answer(struct conn *c, const char *type, uint64_t length) {
    c->out_len += (size_t)snprintf(
        c->out + c->out_len, OUT_BYTES - c->out_len,
        "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
        "Content-Type: %s\r\nContent-Length: %llu\r\nConnection: keep-alive\r\n"
        "Last-Modified: Sat, 21 Nov 2026 11:00:00 GMT\r\nETag: \"6740-400\"\r\n"
        "Accept-Ranges: bytes\r\n\r\n",
        type, (unsigned long long)length);
}

static int start_request(struct conn *c, size_t head_bytes) {
    char *end = c->in + head_bytes;
    char kept = *end;
    *end = 0; /* the searches below stay inside the head */
    char *length = strcasestr(c->in, "\r\ncontent-length:");
    if (strcasestr(c->in, "\r\nupgrade: websocket")) {
        c->out_len = (size_t)snprintf(
            c->out, OUT_BYTES,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        c->state = ECHO;
    } else if (!strncmp(c->in, "GET /bytes/", 11)) {
        c->zeros_left = strtoull(c->in + 11, NULL, 10);
        answer(c, "application/octet-stream", c->zeros_left);
    } else if (!strncmp(c->in, "POST ", 5) && length) {
        c->body_left = strtoull(length + 17, NULL, 10);
        c->state = BODY;
    } else {
        return refuse("a request that this program does not know");
    }
    *end = kept;
    consume(c, head_bytes);
    return 0;
}

static void end_body(struct conn *c) {
    c->state = HEAD;
    answer(c, "text/plain", 2);
    memcpy(c->out + c->out_len, "ok", 2);
    c->out_len += 2;
}

/* Echoes the whole messages at hand. 0: well; -1: a frame that is not for this program. */
static int echo(struct conn *c) {
    size_t at = 0;
    while (c->in_len - at >= 6) {
        unsigned char *frame = (unsigned char *)c->in + at;
        size_t length = frame[1] & 0x7f;
        if (!(frame[0] & 0x80) || !(frame[1] & 0x80) || length > SHORT_FRAME)
            return refuse("a frame that is long, fragmented or not masked");
        if (c->in_len - at < 6 + length) break;
        char *out = c->out + c->out_len;
        out[0] = (char)frame[0];
        out[1] = (char)length;
        for (size_t i = 0; i < length; i++) out[2 + i] = (char)(frame[6 + i] ^ frame[2 + i % 4]);
        c->out_len += 2 + length;
        at += 6 + length;
    }
    consume(c, at);
    return 0;
}

/* Goes as far as the bytes at hand allow. 0: well; -1: the connection is over. */
static int advance(struct conn *c) {
    while (!c->writing) {
        if (c->state == ECHO) {
            if (echo(c) < 0) return -1;
            return flush(c);
        }
        if (c->state == BODY) {
            size_t here = c->in_len < c->body_left ? c->in_len : c->body_left;
            consume(c, here);
            c->body_left -= here;
            if (c->body_left) return 0;
            end_body(c);
        } else {
            char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
            if (!end) return c->in_len < IN_BYTES ? 0 : refuse("a head that does not end");
            if (start_request(c, (size_t)(end - c->in) + 4) < 0) return -1;
        }
        if (flush(c) < 0) return -1;
    }
    return 0;
}

static int readable(struct conn *c) {
    ssize_t got;
    if (c->state == BODY && c->body_left) {
        size_t most = c->body_left < CHUNK_BYTES ? c->body_left : CHUNK_BYTES;
        got = recv(c->fd, NULL, most, MSG_TRUNC);
        if (got > 0) c->body_left -= (uint64_t)got;
    } else {
        got = recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, 0);
        if (got > 0) c->in_len += (size_t)got;
    }
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    return got == 0 ? -1 : advance(c);
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return; /* it was closed again meanwhile */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct conn *c = calloc(1, sizeof *c);
    if (!c) die("calloc");
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static int listen_on_loopback(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listen");
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on_loopback();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    for (;;) {
        int count = epoll_wait(poller, events, 64, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                accept_one(listener);
                continue;
            }
            int over = c->writing ? flush(c) < 0 || advance(c) < 0 : readable(c) < 0;
            if (over) {
                close(c->fd);
                free(c);
            }
        }
    }
}
