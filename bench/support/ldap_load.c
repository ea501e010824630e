/* The load maker of bench/ldap.py: searches for (mail=userNNNNNN@partner.test), and nothing but that.
 *
 * ldap_load PORT CONNECTIONS DEPTH COUNT ENTRIES NEW ORDERED
 * One thread with epoll. DEPTH searches are under way on each connection; with NEW each search has a connection of its
 * own. Every answer must hold an entry whose certificate is of full size; anything else ends the run with an error.
 * Prints one line of JSON: seconds, its own CPU seconds, and the 99th percentile of a search in milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 262144
#define LEAST 600 /* bytes of an entry with a certificate */

struct connection { int fd, number, under_way, entries, found; size_t have; double began[64]; unsigned char data[ROOM]; };

static int port, depth, new_each, ordered;
static long count, entries, started, ended;
static int poller;
static float *times;
static unsigned long long seed = 88172645463325252ULL;

static void die(const char *why) { fprintf(stderr, "%s (after %ld answers)\n", why, ended); exit(1); }

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static long next_entry(void)
{
    if (ordered) return started % entries;
    seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
    return (long)(seed % (unsigned long long)entries);
}

/* A SearchRequest for one address; all lengths are short. */
static size_t request(unsigned char *out, int number, long entry)
{
    static const char base[] = "o=bench", wanted[] = "userCertificate;binary";
    char address[32];
    int size = snprintf(address, sizeof address, "user%06ld@partner.test", entry);
    unsigned char *at = out + 2;
    *at++ = 2; *at++ = 2; *at++ = number >> 8; *at++ = number & 255;
    *at++ = 0x63;
    unsigned char *length = at++;
    *at++ = 4; *at++ = sizeof base - 1; memcpy(at, base, sizeof base - 1); at += sizeof base - 1;
    memcpy(at, "\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00", 15); at += 15;
    *at++ = 0xa3; *at++ = 8 + size; *at++ = 4; *at++ = 4; memcpy(at, "mail", 4); at += 4;
    *at++ = 4; *at++ = size; memcpy(at, address, size); at += size;
    *at++ = 0x30; *at++ = sizeof wanted + 1; *at++ = 4; *at++ = sizeof wanted - 1;
    memcpy(at, wanted, sizeof wanted - 1); at += sizeof wanted - 1;
    *length = at - length - 1;
    out[0] = 0x30; out[1] = at - out - 2;
    return at - out;
}

static void ask(struct connection *one)
{
    unsigned char out[64 * 128];
    size_t size = 0;
    while (one->under_way < depth && started < count) {
        one->number = one->number % 20000 + 256;
        one->began[(one->under_way++ + one->entries) % 64] = now();
        size += request(out + size, one->number, next_entry());
        started++;
        if (new_each) break;
    }
    if (size && send(one->fd, out, size, MSG_NOSIGNAL) != (ssize_t)size) die("cannot send");
}

static void open_one(struct connection *one)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1;
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    one->have = 0; one->under_way = 0; one->number = 256; one->entries = 0; one->found = 0;
    if (one->fd < 0) die("no socket");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    double began = now();
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to)) die("cannot connect");
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    epoll_ctl(poller, EPOLL_CTL_ADD, one->fd, &event);
    ask(one);
    if (new_each) one->began[0] = began;
}

/* The size of the element at ``at``, 0 if it has not come whole. */
static size_t whole(const unsigned char *at, size_t have, size_t *head)
{
    if (have < 2) return 0;
    size_t length = at[1], first = 2;
    if (length & 0x80) {
        size_t digits = length & 0x7f;
        if (digits > 4) die("a length that is not allowed");
        if (have < 2 + digits) return 0;
        for (length = 0; first < 2 + digits; first++) length = length << 8 | at[first];
    }
    *head = first;
    return have < first + length ? 0 : first + length;
}

static int take(struct connection *one)
{
    ssize_t got = recv(one->fd, one->data + one->have, ROOM - one->have, 0);
    if (got <= 0) die("hung up");
    one->have += got;
    size_t at = 0, size, head, done = 0;
    while ((size = whole(one->data + at, one->have - at, &head))) {
        const unsigned char *inside = one->data + at + head;
        unsigned char operation = inside[2 + inside[1]];
        if (operation == 0x64) {
            if (size < LEAST) die("an entry without its certificate");
            one->found++;
        } else if (operation == 0x65) {
            if (--one->found < 0) die("nobody was found");

            times[ended++] = (float)((now() - one->began[one->entries % 64]) * 1e3);
            one->entries++; one->under_way--; done++;
        } else die("an answer that nobody expects");
        at += size;
    }
    memmove(one->data, one->data + at, one->have - at);
    one->have -= at;
    return done > 0;
}

static int by_size(const void *a, const void *b) { float x = *(float *)a, y = *(float *)b; return (x > y) - (x < y); }

int main(int argc, char **argv)
{
    if (argc != 8) die("ldap_load PORT CONNECTIONS DEPTH COUNT ENTRIES NEW ORDERED");
    int connections = atoi(argv[2]);
    port = atoi(argv[1]); depth = atoi(argv[3]); count = atol(argv[4]); entries = atol(argv[5]);
    new_each = atoi(argv[6]); ordered = atoi(argv[7]);
    if (depth < 1 || depth > 60) die("a depth from 1 to 60");
    poller = epoll_create1(0);
    times = calloc(count + 1, sizeof *times);
    struct connection *all = calloc(connections, sizeof *all);
    double began = now();
    for (int i = 0; i < connections; i++) open_one(all + i);
    while (ended < count) {
        struct epoll_event ready[256];
        int found = epoll_wait(poller, ready, 256, 20000);
        if (found <= 0) die("silence");
        for (int i = 0; i < found; i++) {
            struct connection *one = ready[i].data.ptr;
            if (!take(one)) continue;
            if (!new_each) ask(one);
            else {
                close(one->fd);
                if (started < count) open_one(one);
            }
        }
    }
    double seconds = now() - began;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_utime.tv_usec / 1e6 + used.ru_stime.tv_sec + used.ru_stime.tv_usec / 1e6;
    qsort(times, count, sizeof *times, by_size);
    printf("{\"seconds\": %.6f, \"cpu\": %.4f, \"p99_ms\": %.4f}\n", seconds, cpu, times[(long)(count * 0.99)]);
    return 0;
}
