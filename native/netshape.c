/*
 * netshape: a wire of a given rate and delay between two network namespaces, for kernels without netem.
 *
 * Makes both namespaces itself, each with a TUN device `wire0`, and carries packets between them: TCP sees a true round
 * trip and a true bottleneck. Namespaces live as open descriptors of this process alone, so everything is gone when it
 * ends, and it ends when its standard input does.
 *
 * usage: netshape MEGABITS_PER_SECOND(0 = no limit) ONE_WAY_DELAY_MS QUEUE_KIB LOSS_PPM
 * stdin:  "MEGABITS_PER_SECOND ONE_WAY_DELAY_MS\n" changes the wire while it runs
 * stdout: "FD_A FD_B\n", the namespaces as /proc/PID/fd/N, once the wire is up: A is 10.77.0.1, B is 10.77.0.2.
 *         After each change of the wire, its counters so far: "PACKETS BYTES DROPS PACKETS BYTES DROPS\n", A to B, B to A
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 16384, MTU = 1500, BURST = 256 };

struct packet {
  uint64_t due; /* ns, CLOCK_MONOTONIC */
  uint32_t length;
  unsigned char bytes[MTU];
};

struct direction {
  struct packet *slots; /* ring of SLOTS */
  unsigned head, tail;
  uint64_t link_free; /* ns: when everything accepted so far has been put on the wire */
  unsigned long packets, bytes, drops;
};

static double megabits, delay_ms;
static uint64_t queue_bytes;
static unsigned loss_ppm;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_address(int s, struct ifreq *r, unsigned long what, const char *address) {
  struct sockaddr_in in = {.sin_family = AF_INET};
  inet_pton(AF_INET, address, &in.sin_addr);
  memcpy(&r->ifr_addr, &in, sizeof in);
  if (ioctl(s, what, r)) die(address);
}

static void bring_up(int s, struct ifreq *r) {
  r->ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(s, SIOCSIFFLAGS, r)) die("cannot bring the device up");
}

/* Enters a new network namespace, sets up lo and wire0 in it; returns the TUN device, and the namespace in *ns. */
static int make_end(const char *address, const char *peer, int *ns) {
  if (unshare(CLONE_NEWNET)) die("unshare");
  *ns = open("/proc/self/ns/net", O_RDONLY);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK), s = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq wire = {.ifr_name = "wire0"}, lo = {.ifr_name = "lo"};
  wire.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (*ns < 0 || tun < 0 || s < 0 || ioctl(tun, TUNSETIFF, &wire)) die("/dev/net/tun");
  set_address(s, &wire, SIOCSIFADDR, address);
  set_address(s, &wire, SIOCSIFDSTADDR, peer);
  wire.ifr_mtu = MTU;
  if (ioctl(s, SIOCSIFMTU, &wire)) die("mtu");
  wire.ifr_qlen = 10000; /* the bottleneck is the queue here, never the device's own */
  if (ioctl(s, SIOCSIFTXQLEN, &wire)) die("queue length");
  bring_up(s, &wire);
  bring_up(s, &lo);
  close(s);
  return tun;
}

/* Takes what waits at one end: onto the wire, or dropped by chance or by a full queue. */
static void accept_packets(int tun, struct direction *d, uint64_t time) {
  for (int i = 0; i < BURST; i++) {
    struct packet *p = &d->slots[d->head];
    ssize_t n = read(tun, p->bytes, MTU);
    if (n <= 0) return;
    if (d->link_free < time) d->link_free = time;
    int full = ((d->head + 1) & (SLOTS - 1)) == d->tail;
    double backlog = (double)(d->link_free - time) * megabits / 8000;
    int late = megabits > 0 && queue_bytes && backlog > (double)queue_bytes;
    if (full || late || (loss_ppm && (unsigned)(random() % 1000000) < loss_ppm)) {
      d->drops++;
      continue;
    }
    if (megabits > 0) d->link_free += (uint64_t)((double)n * 8000 / megabits);
    p->due = d->link_free + (uint64_t)(delay_ms * 1e6);
    p->length = (uint32_t)n;
    d->head = (d->head + 1) & (SLOTS - 1);
    d->packets++;
    d->bytes += (unsigned long)n;
  }
}

static void deliver_packets(int tun, struct direction *d, uint64_t time) {
  while (d->tail != d->head && d->slots[d->tail].due <= time) {
    struct packet *p = &d->slots[d->tail];
    if (write(tun, p->bytes, p->length) < 0 && errno == EAGAIN) return;
    d->tail = (d->tail + 1) & (SLOTS - 1);
  }
}

static uint64_t next_due(const struct direction *d) {
  return d->tail == d->head ? UINT64_MAX : d->slots[d->tail].due;
}

/* A line on stdin changes the wire; its end ends the program. */
static void control(const struct direction *ab, const struct direction *ba) {
  char line[128];
  ssize_t n = read(0, line, sizeof line - 1);
  if (n <= 0) exit(0);
  line[n] = 0;
  sscanf(line, "%lf %lf", &megabits, &delay_ms);
  printf("%lu %lu %lu %lu %lu %lu\n", ab->packets, ab->bytes, ab->drops, ba->packets, ba->bytes, ba->drops);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: netshape MEGABITS_PER_SECOND ONE_WAY_DELAY_MS QUEUE_KIB LOSS_PPM\n");
    return 2;
  }
  megabits = atof(argv[1]);
  delay_ms = atof(argv[2]);
  queue_bytes = strtoull(argv[3], NULL, 10) * 1024;
  loss_ppm = (unsigned)atoi(argv[4]);
  struct direction ab = {.slots = calloc(SLOTS, sizeof(struct packet))};
  struct direction ba = {.slots = calloc(SLOTS, sizeof(struct packet))};
  if (!ab.slots || !ba.slots) die("calloc");
  int ns_a, ns_b;
  int a = make_end("10.77.0.1", "10.77.0.2", &ns_a), b = make_end("10.77.0.2", "10.77.0.1", &ns_b);
  prctl(PR_SET_TIMERSLACK, 1000ul);
  printf("%d %d\n", ns_a, ns_b);
  fflush(stdout);
  for (;;) {
    uint64_t time = now();
    accept_packets(a, &ab, time);
    accept_packets(b, &ba, time);
    time = now();
    deliver_packets(b, &ab, time);
    deliver_packets(a, &ba, time);
    uint64_t due = next_due(&ab) < next_due(&ba) ? next_due(&ab) : next_due(&ba);
    time = now();
    uint64_t wait = due > time ? due - time : 0;
    struct timespec t = {.tv_sec = (time_t)(wait / 1000000000u), .tv_nsec = (long)(wait % 1000000000u)};
    struct pollfd p[] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {0, POLLIN, 0}};
    ppoll(p, 3, due == UINT64_MAX ? NULL : &t, NULL);
    if (p[2].revents) control(&ab, &ba);
  }
}
