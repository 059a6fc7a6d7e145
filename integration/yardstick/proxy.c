/* The yardstick of the udp backend: a tunnel that forwards one packet at a time, by two system calls each.
 *
 *     proxy TUN LOCAL PORT SUBNET/LENGTH=PEER...
 *
 * The wire format is flannel's: a bare inner IPv4 packet in each datagram. The TTL goes down at both ends, the first
 * route that matches wins, senders are not checked, and a packet to nobody is answered by ICMP net unreachable.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LONGEST 65535

struct route { uint32_t base, mask; struct sockaddr_in peer; };

static struct route *routes;
static int route_count;
static uint32_t own;

static void die(const char *what) { perror(what); exit(1); }

static uint16_t checksum(const void *text, size_t size)
{
    const uint16_t *word = text;
    uint32_t sum = 0;
    for (; size > 1; size -= 2) sum += *word++;
    if (size) sum += *(const uint8_t *)word;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static int open_tun(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request)) die("tun");
    return fd;
}

static int open_socket(const char *local, int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (!inet_aton(local, &address.sin_addr) || bind(fd, (void *)&address, sizeof address)) die("bind");
    return fd;
}

static void read_routes(char **words, int count, int port)
{
    routes = calloc(count + 1, sizeof *routes);
    for (int i = 0; i < count; i++) {
        char *length = strchr(words[i], '/'), *peer = strchr(words[i], '=');
        struct in_addr base;
        if (!length || !peer) { fprintf(stderr, "%s: give SUBNET/LENGTH=PEER\n", words[i]); exit(2); }
        *length = *peer = 0;
        inet_aton(words[i], &base);
        routes[i].mask = htonl(~0u << (32 - atoi(length + 1)));
        routes[i].base = base.s_addr & routes[i].mask;
        routes[i].peer = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
        inet_aton(peer + 1, &routes[i].peer.sin_addr);
    }
    route_count = count;
}

static struct route *find(uint32_t address)
{
    for (int i = 0; i < route_count; i++)
        if ((address & routes[i].mask) == routes[i].base) return &routes[i];
    return NULL;
}

static int age(struct iphdr *ip, ssize_t size)
{
    if (size < (ssize_t)sizeof *ip || ip->version != 4 || ip->ttl <= 1) return 0;
    uint32_t sum = ip->check + htons(0x0100);
    ip->check = sum + (sum >= 0xffff);
    ip->ttl--;
    return 1;
}

static void unreachable(int tun, const struct iphdr *ip, ssize_t size)
{
    struct { struct iphdr ip; struct icmphdr icmp; uint8_t quoted[sizeof(struct iphdr) + 8]; } answer = {
        .ip = { .version = 4, .ihl = 5, .ttl = 8, .protocol = IPPROTO_ICMP, .saddr = own, .daddr = ip->saddr },
        .icmp = { .type = ICMP_DEST_UNREACH, .code = ICMP_NET_UNREACH },
    };
    size_t quoted = size < (ssize_t)sizeof answer.quoted ? (size_t)size : sizeof answer.quoted;
    memcpy(answer.quoted, ip, quoted);
    answer.ip.tot_len = htons(sizeof answer);
    answer.ip.check = checksum(&answer.ip, sizeof answer.ip);
    answer.icmp.checksum = checksum(&answer.icmp, sizeof answer - sizeof answer.ip);
    if (write(tun, &answer, sizeof answer) < 0) return;
}

static int from_tun(int tun, int sock, char *buffer)
{
    ssize_t size = read(tun, buffer, LONGEST);
    struct iphdr *ip = (void *)buffer;
    if (size < 0) return 0;
    if (size < (ssize_t)sizeof *ip || ip->version != 4) return 1;
    struct route *route = find(ip->daddr);
    if (!route) { unreachable(tun, ip, size); return 1; }
    if (!age(ip, size)) return 1;
    while (sendto(sock, buffer, size, 0, (void *)&route->peer, sizeof route->peer) < 0 && errno == EAGAIN)
        poll(&(struct pollfd){ .fd = sock, .events = POLLOUT }, 1, -1);
    return 1;
}

static int from_socket(int tun, int sock, char *buffer)
{
    ssize_t size = recv(sock, buffer, LONGEST, 0);
    if (size < 0) return 0;
    if (age((void *)buffer, size) && write(tun, buffer, size) < 0) return 1;
    return 1;
}

int main(int count, char **words)
{
    if (count < 4) { fprintf(stderr, "proxy TUN LOCAL PORT SUBNET/LENGTH=PEER...\n"); return 2; }
    static char buffer[LONGEST];
    int tun = open_tun(words[1]), sock = open_socket(words[2], atoi(words[3]));
    struct in_addr local;
    inet_aton(words[2], &local);
    own = local.s_addr;
    read_routes(words + 4, count - 4, atoi(words[3]));
    struct pollfd ends[] = { { .fd = tun, .events = POLLIN }, { .fd = sock, .events = POLLIN } };
    for (;;) {
        if (poll(ends, 2, -1) < 0 && errno != EINTR) die("poll");
        for (int more = 1; more;) {
            more = from_tun(tun, sock, buffer);
            more |= from_socket(tun, sock, buffer);
        }
    }
}
