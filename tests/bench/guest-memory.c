/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How fast another process's resident memory is read, beside plain memcpy () of as much and dd of
 * the same /proc/PID/mem, in the same run. At least 1 GiB/s, and not slower than dd. */
#include "host/pcd-guest-memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE   (G_GUINT64_CONSTANT (1) << 30)
#define ROUNDS 3
#define LEAST  1.0 /* GiB/s */

static double
gib_per_s (gint64 began)
{
  return (double)SIZE / (1 << 30) / ((double)(g_get_monotonic_time () - began) / G_USEC_PER_SEC);
}

/* A page each of its own, as a guest's are. */
static guint8 *
make_memory (void)
{
  guint8 *base = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  g_assert (base != MAP_FAILED);
  for (guint64 at = 0; at < SIZE; at += PCD_GUEST_PAGE)
    memset (base + at, (int)(at / PCD_GUEST_PAGE), PCD_GUEST_PAGE);
  return base;
}

static double
by_us (pid_t pid, const guint8 *base, guint8 *buffer)
{
  g_autoptr (GError) error = NULL;
  gint64 began = g_get_monotonic_time ();
  g_autoptr (PcdGuestMemory) memory = pcd_guest_memory_open (pid, &error);
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];
  guint present;

  g_assert_no_error (error);
  for (guint64 at = 0; at < SIZE; at += PCD_GUEST_CHUNK) {
    g_assert (pcd_guest_memory_read (memory, (guint64)(gsize)base + at, PCD_GUEST_CHUNK_PAGES,
                                     buffer, bitmap, &present, &error));
    g_assert (present == PCD_GUEST_CHUNK_PAGES);
    g_assert (buffer[0] == base[at]);
  }
  return gib_per_s (began);
}

static double
by_memcpy (const guint8 *base, guint8 *buffer)
{
  gint64 began = g_get_monotonic_time ();

  for (guint64 at = 0; at < SIZE; at += PCD_GUEST_CHUNK) {
    memcpy (buffer, base + at, PCD_GUEST_CHUNK);
    __asm__ volatile("" : : "r"(buffer) : "memory");
  }
  return gib_per_s (began);
}

static double
by_dd (pid_t pid, const guint8 *base)
{
  g_autofree char *command =
      g_strdup_printf ("dd if=/proc/%d/mem of=/dev/null bs=4M iflag=skip_bytes,count_bytes "
                       "skip=%" G_GSIZE_FORMAT " count=%" G_GUINT64_FORMAT " status=none",
                       (int)pid, (gsize)base, SIZE);
  gint64 began = g_get_monotonic_time ();

  g_assert (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL));
  return gib_per_s (began);
}

int
main (void)
{
  guint8 *base = make_memory (), *buffer = g_malloc (PCD_GUEST_CHUNK);
  double ours = 0, dd = 0, copy = 0;
  struct rusage usage;
  pid_t pid = fork ();

  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      pause ();
  }
  for (int i = 0; i < ROUNDS; i++) {
    ours = MAX (ours, by_us (pid, base, buffer));
    dd = MAX (dd, by_dd (pid, base));
    copy = MAX (copy, by_memcpy (base, buffer));
  }
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  getrusage (RUSAGE_SELF, &usage);
  printf ("1..2\n# 1 GiB resident, best of %d: pread of /proc/PID/mem %.2f GiB/s, dd %.2f GiB/s, "
          "memcpy %.2f GiB/s\n",
          ROUNDS, ours, dd, copy);
  printf ("%s 1 - at least %.1f GiB/s\n", ours >= LEAST ? "ok" : "not ok", LEAST);
  printf ("%s 2 - at least 0.8 of dd's\n", ours >= 0.8 * dd ? "ok" : "not ok");
  return 0;
}
