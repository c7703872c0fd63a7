/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that has a virtio device touch its memory, each time a page that nobody has touched since
 * it was filled: in a post-copy such a page is missing, and it is not a vCPU that finds out.
 * Command line: `mib=N` of such pages; `net=1` sends frames, else a disk is read; `data=1` puts the
 * data into those pages, else the request's header. Booted by tests/lab/guests/toucher.S. */
#include <stdint.h>

#define PAGE       4096
#define FIRST_PAGE (16 * 256)
#define RINGS      0x200000ULL /* 64 KiB for each queue */
#define FIXED      0x240000ULL /* what of a request is always there */
#define SERIAL     0x3f8
#define BAR        0xc000 /* no firmware has set it up: qboot leaves that to the guest */
#define NEXT       1
#define WRITE      2

/* Registers of a legacy virtio PCI device: virtio 1.2, section 4.1.4.10. */
enum { FEATURES = 4, QUEUE_PFN = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18 };

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};

struct used {
  uint16_t flags;
  volatile uint16_t index;
};

static inline void
out8 (uint16_t port, uint8_t value)
{
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void
out16 (uint16_t port, uint16_t value)
{
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void
out32 (uint16_t port, uint32_t value)
{
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint16_t
in16 (uint16_t port)
{
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint32_t
in32 (uint16_t port)
{
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void
print (const char *text)
{
  for (; *text; text++)
    out8 (SERIAL, (uint8_t)*text);
}

static uint32_t
argument (const char *line, const char *key)
{
  for (; *line; line++) {
    const char *l = line, *k = key;
    while (*k && *l == *k)
      l++, k++;
    if (*k)
      continue;
    uint32_t value = 0;
    for (; *l >= '0' && *l <= '9'; l++)
      value = value * 10 + (uint32_t)(*l - '0');
    return value;
  }
  return 0;
}

/* Gives the first virtio device of bus 0 its ports. */
static int
find_device (void)
{
  for (uint32_t slot = 0; slot < 32; slot++) {
    uint32_t at = 0x80000000u | slot << 11;
    out32 (0xcf8, at);
    uint32_t id = in32 (0xcfc);
    if (id != 0x10001af4 && id != 0x10011af4)
      continue;
    out32 (0xcf8, at | 0x10);
    out32 (0xcfc, BAR);
    out32 (0xcf8, at | 4);
    out32 (0xcfc, 5); /* I/O ports, bus master */
    return 1;
  }
  return 0;
}

static uint16_t
set_up_queue (uint16_t queue)
{
  out16 (BAR + QUEUE_SELECT, queue);
  out32 (BAR + QUEUE_PFN, (uint32_t)((RINGS + queue * 0x10000) / PAGE));
  return in16 (BAR + QUEUE_SIZE);
}

static void
fill (struct descriptor *d, uint64_t address, uint32_t length, uint16_t flags)
{
  *d = (struct descriptor){ address, length, flags, 0 };
}

/* Called by toucher.S; @info is the multiboot information's address. */
void touch_memory (uint32_t vcpu, uint32_t info);

void
touch_memory (uint32_t vcpu, uint32_t info)
{
  const uint32_t *mb = (const uint32_t *)(uintptr_t)info;
  const char *line = (const char *)(uintptr_t)mb[4];
  uint32_t net = argument (line, "net="), data = argument (line, "data=");
  uint64_t pages = (uint64_t)argument (line, "mib=") * 256;

  if (vcpu || !find_device ()) {
    print ("dma-guest: no device\n");
    return;
  }
  /* All zero is a request to read sector 0, and the header of a frame without offloads. */
  for (uint64_t page = 0; page < pages; page++)
    *(volatile uint64_t *)(uintptr_t)((FIRST_PAGE + page) * PAGE + 64) = page + 1;
  out8 (BAR + STATUS, 0);
  out8 (BAR + STATUS, 3);
  out32 (BAR + FEATURES, 0);
  uint16_t queue = net ? 1 : 0, size = set_up_queue (0);
  if (net)
    size = set_up_queue (1);
  out8 (BAR + STATUS, 7);

  uint64_t ring = RINGS + queue * 0x10000;
  struct descriptor *d = (struct descriptor *)(uintptr_t)ring;
  volatile uint16_t *available = (volatile uint16_t *)(uintptr_t)(ring + 16u * size);
  uint64_t end = ring + 16u * size + 6 + 2u * size;
  const struct used *used = (const struct used *)(uintptr_t)((end + PAGE - 1) / PAGE * PAGE);

  print ("dma-guest: ready\n");
  for (uint16_t n = 0;; n++) {
    uint64_t fresh = (FIRST_PAGE + pages - 1 - n % pages) * PAGE;
    fill (d, data ? FIXED : fresh, net ? 10 : 16, NEXT);
    fill (d + 1, data ? fresh : FIXED + 512, 512, net ? 0 : NEXT | WRITE);
    fill (d + 2, FIXED + 128, 1, WRITE);
    d[0].next = 1;
    d[1].next = 2;
    available[2 + n % size] = 0;
    __asm__ volatile("" : : : "memory");
    available[1] = n + 1;
    out16 (BAR + NOTIFY, queue);
    while (used->index != (uint16_t)(n + 1))
      __asm__ volatile("pause");
    print (".");
    for (uint32_t i = 0; i < 20000; i++)
      __asm__ volatile("pause");
  }
}
