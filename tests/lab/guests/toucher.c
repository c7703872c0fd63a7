/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that does nothing but write memory, so that a migration's result can be checked.
 * Each vCPU owns a slice; round r writes { r, page number } at the start of every page, in order.
 * At any instant a slice is therefore: pages with r, then pages with r - 1. pcdlab/verify.py is
 * the other half of this contract.
 *
 * With disks=N it stops there after the first round and writes numbers 1, 2, 3 ... to N disks in
 * turn, a sector full of each; pcdlab/disks.py is the other half of that. With dma=1 it reads the
 * first disk into its memory instead, page by page from the end, by DMA. */
#include <stdint.h>

#define FIRST_MIB     16 /* below: this program, the BIOS's areas */
#define MAX_VCPUS     16
#define PAGE          4096
#define SERIAL        0x3f8
#define SECOND_SERIAL 0x2f8 /* ticks there too, whether anybody takes them or not */
#define ATA           0x1f0 /* the first IDE channel: two disks */
#define ATA_CONTROL   0x3f6
#define ATA_DMA       0xc000
#define SECTOR        512
#define STEP          7919 /* prime: all over the disk, and each sector once in a round */
#define LAPIC_ICR_LOW ((volatile uint32_t *)0xfee00300)
#define LAPIC_SVR     ((volatile uint32_t *)0xfee000f0)

struct mark {
  volatile uint64_t round;
  volatile uint64_t page;
};

static volatile uint64_t rounds[MAX_VCPUS]; /* finished, per vCPU */

static inline void
outb (uint16_t port, uint8_t value)
{
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t
inb (uint16_t port)
{
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void
print (const char *text)
{
  for (; *text; text++) {
    while (!(inb (SERIAL + 5) & 0x20))
      ;
    outb (SERIAL, (uint8_t)*text);
  }
}

static uint32_t
argument (const char *line, const char *key, uint32_t fallback)
{
  for (; *line; line++) {
    const char *l = line, *k = key;
    while (*k && *l == *k)
      l++, k++;
    if (*k || *l != '=')
      continue;
    uint32_t value = 0;
    for (l++; *l >= '0' && *l <= '9'; l++)
      value = value * 10 + (uint32_t)(*l - '0');
    return value;
  }
  return fallback;
}

static void
pause_a_while (uint32_t turns)
{
  while (turns--)
    __asm__ volatile("pause");
}

static void
start_others (void)
{
  *LAPIC_SVR |= 0x100;
  *LAPIC_ICR_LOW = 0x000c4500; /* INIT, all but self */
  pause_a_while (200000);
  for (int i = 0; i < 2; i++) {  /* the second is ignored by a vCPU that runs already */
    *LAPIC_ICR_LOW = 0x000c4608; /* start-up at 0x8000 */
    pause_a_while (20000);
  }
}

static void
wait_for_disk (uint8_t mask, uint8_t value)
{
  while ((inb (ATA + 7) & mask) != value)
    ;
}

static void
write_sector (uint32_t disk, uint32_t sector, uint64_t number)
{
  uint64_t data[SECTOR / sizeof number];
  const void *next = data;
  uint64_t count = SECTOR / 2;

  for (uint32_t i = 0; i < SECTOR / sizeof number; i++)
    data[i] = number;
  outb (ATA + 6, (uint8_t)(0xe0 | disk << 4 | (sector >> 24 & 15)));
  wait_for_disk (0xc0, 0x40); /* not busy, ready */
  outb (ATA + 2, 1);
  outb (ATA + 3, (uint8_t)sector);
  outb (ATA + 4, (uint8_t)(sector >> 8));
  outb (ATA + 5, (uint8_t)(sector >> 16));
  outb (ATA + 7, 0x30);       /* WRITE SECTORS */
  wait_for_disk (0x88, 0x08); /* it takes data */
  __asm__ volatile("rep outsw" : "+S"(next), "+c"(count) : "d"((uint16_t)ATA) : "memory");
  wait_for_disk (0x80, 0);
  if (inb (ATA + 7) & 1)
    print ("toucher: disk error\n");
}

static void
outl (uint16_t port, uint32_t value)
{
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

/* Of the PIIX3's IDE function, 00:01.1. */
static void
set_pci (uint32_t reg, uint32_t value)
{
  outl (0xcf8, 0x80000900 | reg);
  outl (0xcfc, value);
}

static void
read_by_dma (uint64_t first, uint64_t pages)
{
  static volatile uint32_t region[2] __attribute__ ((aligned (8)));

  outb (ATA_CONTROL, 2);
  set_pci (0x20, ATA_DMA);
  set_pci (0x04, 5); /* ports, bus master */
  for (uint64_t number = 0;; number++) {
    region[0] = (uint32_t)((first + pages - 1 - number % pages) * PAGE);
    region[1] = 0x80000000u | PAGE; /* the last */
    outl (ATA_DMA + 4, (uint32_t)(uintptr_t)region);
    outb (ATA_DMA, 8);     /* to memory */
    outb (ATA_DMA + 2, 6); /* clears */
    outb (ATA + 6, 0xe0);
    wait_for_disk (0xc0, 0x40);
    outb (ATA + 2, PAGE / SECTOR);
    outb (ATA + 3, 0);
    outb (ATA + 4, 0);
    outb (ATA + 5, 0);
    outb (ATA + 7, 0xc8); /* READ DMA */
    outb (ATA_DMA, 9);
    while (inb (ATA_DMA + 2) & 1)
      ;
    wait_for_disk (0x80, 0);
    outb (ATA_DMA, 0);
    if (number % 16 == 0)
      print (".");
  }
}

static void
write_disks (uint32_t disks, uint32_t sectors, uint32_t rest)
{
  outb (ATA_CONTROL, 2); /* no interrupts */
  for (uint64_t number = 1;; number++) {
    write_sector ((uint32_t)(number % disks), (uint32_t)(number / disks * STEP % sectors), number);
    if (number % 16 == 0)
      print (".");
    pause_a_while (rest);
  }
}

/* Called by toucher.S on every vCPU; @info is the multiboot information's address. */
void touch_memory (uint32_t vcpu, uint32_t info);

void
touch_memory (uint32_t vcpu, uint32_t info)
{
  /* The multiboot information: word 0 flags, bit 2 says that word 4 is the command line. */
  const uint32_t *mb = (const uint32_t *)(uintptr_t)info;
  const char *line = mb[0] & 4 ? (const char *)(uintptr_t)mb[4] : "";
  uint32_t vcpus = argument (line, "vcpus", 1);
  uint64_t pages = (uint64_t)argument (line, "mib", 16) * 256 / vcpus;
  uint32_t rest = argument (line, "rest", 0);
  uint32_t disks = argument (line, "disks", 0);
  uint64_t first = FIRST_MIB * 256 + vcpu * pages;

  if (vcpu == 0) {
    print ("toucher: starting\n");
    if (vcpus > 1)
      start_others ();
  }
  for (uint64_t round = 1;; round++) {
    for (uint64_t page = first; page < first + pages; page++) {
      struct mark *mark = (struct mark *)(uintptr_t)(page * PAGE);
      mark->page = page;
      mark->round = round;
    }
    rounds[vcpu] = round;
    if (vcpu != 0) {
      pause_a_while (rest);
      continue;
    }
    if (round == 1) {
      for (uint32_t i = 1; i < vcpus; i++)
        while (rounds[i] == 0)
          pause_a_while (100);
      print ("toucher: ready\n");
      if (disks > 0 && argument (line, "dma", 0))
        read_by_dma (first, pages);
      if (disks > 0)
        write_disks (disks, argument (line, "sectors", 1), rest);
    } else {
      print (".");
      outb (SECOND_SERIAL, '.');
    }
    pause_a_while (rest);
  }
}
