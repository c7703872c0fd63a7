/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a process's pages on a real userfaultfd: what is missing is neither read nor waited for.
 * Needs root (userfaultfd, /proc/PID/map_files). */
#include "host/pcd-guest-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_PAGES 256u

/* An area of this process whose missing pages userfaultfd waits for. */
typedef struct {
  int uffd;
  guint8 *base;
  gsize size;
} Area;

static Area
area_new (int memfd)
{
  Area area = { .size = N_PAGES * PCD_GUEST_PAGE };
  struct uffdio_api api = { .api = UFFD_API,
                            .features = memfd >= 0 ? UFFD_FEATURE_MISSING_SHMEM : 0 };
  struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

  area.base = mmap (NULL, area.size, PROT_READ | PROT_WRITE,
                    memfd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, memfd, 0);
  g_assert_true (area.base != MAP_FAILED);
  area.uffd = (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  g_assert_cmpint (area.uffd, >=, 0);
  g_assert_cmpint (ioctl (area.uffd, UFFDIO_API, &api), ==, 0);
  reg.range.start = (guint64)(gsize)area.base;
  reg.range.len = area.size;
  g_assert_cmpint (ioctl (area.uffd, UFFDIO_REGISTER, &reg), ==, 0);
  return area;
}

/* Nobody has run into a missing page. */
static void
assert_untouched (const Area *area)
{
  struct uffd_msg message;

  g_assert_cmpint (read (area->uffd, &message, sizeof message), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
}

static void
area_clear (Area *area)
{
  assert_untouched (area);
  munmap (area->base, area->size);
  close (area->uffd);
}

static gboolean
put_page (const Area *area, guint i, guint8 value)
{
  guint8 page[PCD_GUEST_PAGE] __attribute__ ((aligned (4096)));
  struct uffdio_copy copy = { .dst = (guint64)(gsize)(area->base + i * PCD_GUEST_PAGE),
                              .src = (guint64)(gsize)page,
                              .len = PCD_GUEST_PAGE };

  memset (page, value, sizeof page);
  return ioctl (area->uffd, UFFDIO_COPY, &copy) == 0;
}

static gboolean
is_whole (const guint8 *page, guint8 value)
{
  for (gsize i = 0; i < PCD_GUEST_PAGE; i++)
    if (page[i] != value)
      return FALSE;
  return TRUE;
}

static gboolean
is_there (guint i)
{
  return i % 7 == 0 || (i > 100 && i < 150);
}

static void
check_area (const Area *area)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdGuestMemory) memory = pcd_guest_memory_open (getpid (), &error);
  g_autofree guint8 *buffer = g_malloc (area->size);
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];
  const PcdGuestArea *found;
  guint n = 0, present;

  g_assert_no_error (error);
  found = pcd_guest_memory_find_area (memory, (guint64)(gsize)area->base);
  g_assert_nonnull (found);
  g_assert_true (found->has_missing);
  g_assert_true (found->start == (guint64)(gsize)area->base);
  g_assert_true (found->end == found->start + area->size);
  g_assert_true (
      pcd_guest_memory_read (memory, found->start, N_PAGES, buffer, bitmap, &present, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < N_PAGES; i++) {
    gboolean bit = bitmap[i / 64] >> (i % 64) & 1;
    g_assert_cmpint (bit, ==, is_there (i));
    if (bit)
      g_assert_true (is_whole (buffer + n++ * PCD_GUEST_PAGE, (guint8)i));
  }
  g_assert_cmpuint (n, ==, present);
  assert_untouched (area);
}

static void
fill (const Area *area)
{
  for (guint i = 0; i < N_PAGES; i++)
    if (is_there (i))
      g_assert_true (put_page (area, i, (guint8)i));
}

static void
test_private (void)
{
  Area area = area_new (-1);

  fill (&area);
  check_area (&area);
  area_clear (&area);
}

static void
test_shared (void)
{
  int memfd = memfd_create ("guest", MFD_CLOEXEC);
  Area area;

  g_assert_cmpint (ftruncate (memfd, N_PAGES * PCD_GUEST_PAGE), ==, 0);
  area = area_new (memfd);
  fill (&area);
  check_area (&area);
  /* Not mapped here any more, but still there: as pages in swap are. */
  g_assert_cmpint (madvise (area.base, area.size / 2, MADV_DONTNEED), ==, 0);
  check_area (&area);
  area_clear (&area);
  close (memfd);
}

typedef struct {
  const Area *area;
  gint stop;
  guint rounds;
} Churn;

/* Pages come and go under the reader. */
static gpointer
churn (gpointer data)
{
  Churn *self = data;

  while (!g_atomic_int_get (&self->stop)) {
    for (guint i = 0; i < N_PAGES; i++)
      put_page (self->area, i, (guint8)(i + 1));
    for (guint i = 0; i < N_PAGES; i += 3)
      madvise (self->area->base + i * PCD_GUEST_PAGE, PCD_GUEST_PAGE, MADV_DONTNEED);
    self->rounds++;
  }
  return NULL;
}

static void
test_come_and_go (void)
{
  Area area = area_new (-1);
  Churn self = { .area = &area };
  GThread *thread = g_thread_new ("churn", churn, &self);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdGuestMemory) memory = pcd_guest_memory_open (getpid (), &error);
  g_autofree guint8 *buffer = g_malloc (area.size);
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS];
  gint64 until = g_get_monotonic_time () + G_USEC_PER_SEC;
  guint rounds = 0, missing = 0;

  g_assert_no_error (error);
  for (; g_get_monotonic_time () < until; rounds++) {
    guint n = 0, present;

    g_assert_true (pcd_guest_memory_read (memory, (guint64)(gsize)area.base, N_PAGES, buffer,
                                          bitmap, &present, &error));
    for (guint i = 0; i < N_PAGES; i++)
      if (bitmap[i / 64] >> (i % 64) & 1)
        g_assert_true (is_whole (buffer + n++ * PCD_GUEST_PAGE, (guint8)(i + 1)));
    g_assert_cmpuint (n, ==, present);
    missing += N_PAGES - present;
  }
  g_atomic_int_set (&self.stop, 1);
  g_thread_join (thread);
  g_test_message ("%u reads, %u rounds of churn, %u pages seen missing", rounds, self.rounds,
                  missing);
  g_assert_cmpuint (missing, >, 0);
  area_clear (&area);
}

static void
test_ended (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdGuestMemory) memory = NULL;
  g_autofree guint8 *buffer = g_malloc (PCD_GUEST_PAGE);
  guint64 bitmap[PCD_GUEST_CHUNK_WORDS], address;
  guint present;
  pid_t pid = fork ();

  if (pid == 0) {
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      pause ();
  }
  memory = pcd_guest_memory_open (pid, &error);
  g_assert_no_error (error);
  address = g_array_index (pcd_guest_memory_get_areas (memory), PcdGuestArea, 0).start;
  g_assert_true (pcd_guest_memory_read (memory, address, 1, buffer, bitmap, &present, &error));
  g_assert_false (pcd_guest_memory_read (memory, 0, 1, buffer, bitmap, &present, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  kill (pid, SIGKILL);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  g_assert_false (pcd_guest_memory_read (memory, address, 1, buffer, bitmap, &present, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (pcd_guest_memory_open (pid, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

static void
test_parse (void)
{
  static const char smaps[] =
      "7f00000000-7f00200000 rw-p 00000000 00:00 0 \nSize: 2048 kB\n"
      "VmFlags: rd wr mr mw me ac um sd \n"
      "7f00200000-7f00400000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mr mw me hg um \n"
      "7f00400000-7f00401000 ---p 00000000 00:00 0 \nVmFlags: mr mw me\n"
      "7f00401000-7f00402000 rw-s 00003000 00:01 77 /memfd:pc.ram (deleted)\n"
      "VmFlags: rd wr sh mr mw me ms sd\n"
      "7f00402000-7f00602000 rw-s 00000000 00:10 78 /dev/hugepages/x\nVmFlags: rd wr sh ht um\n"
      "garbage\n7f00602000-7f00603000 rw-p 00000000 00:00 0 \nVmFlags: rd wr sum umx\n";
  g_autoptr (GArray) areas = pcd_guest_areas_parse (smaps);
  const PcdGuestArea *area = (const PcdGuestArea *)(gpointer)areas->data;

  g_assert_cmpuint (areas->len, ==, 4);
  g_assert_cmphex (area[0].start, ==, 0x7f00000000);
  g_assert_cmphex (area[0].end, ==, 0x7f00400000);
  g_assert_true (area[0].has_missing && !area[0].shared);
  g_assert_true (area[1].shared && !area[1].has_missing && !area[1].huge);
  g_assert_cmphex (area[1].offset, ==, 0x3000);
  g_assert_true (area[2].huge && area[2].has_missing);
  g_assert_false (area[3].has_missing);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  alarm (60); /* a read that waits for a missing page would wait for ever */
  g_test_add_func ("/guest-memory/parse", test_parse);
  if (geteuid () == 0) {
    g_test_add_func ("/guest-memory/private", test_private);
    g_test_add_func ("/guest-memory/shared", test_shared);
    g_test_add_func ("/guest-memory/come-and-go", test_come_and_go);
    g_test_add_func ("/guest-memory/ended", test_ended);
  }
  return g_test_run ();
}
