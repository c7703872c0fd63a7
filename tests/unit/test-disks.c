/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of disks: which, what QEMU is told, the image, and the server's protocol. */
#include "qmp/pcd-qmp-block.h"
#include "snapshot/pcd-disk-nbd.h"
#include "snapshot/pcd-disk-server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- which ---- */

/* Cut down from QEMU 7.2's answer. */
static const struct {
  const char *drive;
  const char *device; /* NULL: left out */
  guint64 size;
  guint64 allocated;
  const char *why_not;
} drives[] = {
  { "{'device':'','qdev':'ide0-0-0','removable':false,'inserted':{'ro':false,"
    "'node-name':'libvirt-2-format','image':{'filename':'/a','virtual-size':1048576,"
    "'actual-size':4096}}}",
    "ide0-0-0", 1048576, 4096, NULL },
  /* a chain: all of it is copied */
  { "{'qdev':'/machine/peripheral/virtio-disk0/virtio-backend','inserted':{'ro':false,"
    "'node-name':'libvirt-1-format','image':{'virtual-size':1048576,'actual-size':4096,"
    "'backing-image':{'actual-size':8192,'backing-image':{'actual-size':1}}}}}",
    "/machine/peripheral/virtio-disk0/virtio-backend", 1048576, 12289, NULL },
  /* no more than the disk has, whatever the files take */
  { "{'qdev':'a','inserted':{'node-name':'n','image':{'virtual-size':8192,'actual-size':65536}}}",
    "a", 8192, 8192, NULL },
  /* a block device takes no room of a file system */
  { "{'qdev':'a','inserted':{'node-name':'n','image':{'virtual-size':8192,'actual-size':0}}}", "a",
    8192, 8192, NULL },
  /* whole sectors, as QEMU rounds */
  { "{'qdev':'a','inserted':{'node-name':'n','image':{'virtual-size':1000,'actual-size':512}}}",
    "a", 1024, 512, NULL },
  { "{'qdev':'a','inserted':{'ro':true,'node-name':'n','image':{'virtual-size':8192}}}", "a", 8192,
    8192, "it is read-only" },
  { "{'qdev':'sg','inserted':{'ro':false,'node-name':'n','image':{'virtual-size':0}}}", "sg", 0, 0,
    "QEMU cannot tell its size (a passed-through device)" },
  { "{'qdev':'sg','inserted':{'ro':false,'node-name':'n'}}", "sg", 0, 0,
    "QEMU cannot tell its size (a passed-through device)" },
  { "{'qdev':'a','inserted':{'image':{'virtual-size':8192}}}", "a", 8192, 8192,
    "QEMU has no name for its node" },
  { "{'qdev':'a','removable':false}", "a", 0, 0, "it is empty" },
  { "{'device':'ide1-cd0','qdev':'/machine/unattached/device[23]','removable':true,"
    "'tray_open':false}",
    NULL, 0, 0, NULL },
  { "7", NULL, 0, 0, NULL },
  { "{'qdev':7,'inserted':[]}", NULL, 0, 0, NULL },
};

static JsonNode *
parse (const char *text)
{
  g_autofree char *json = g_strdelimit (g_strdup (text), "'", '"');
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (json, &error);

  g_assert_no_error (error);
  return node;
}

static void
test_list (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (drives) - 1; i++) {
    g_autofree char *text = g_strdup_printf ("[%s]", drives[i].drive);
    g_autoptr (JsonNode) answer = parse (text);
    g_autoptr (GPtrArray) list = pcd_qmp_block_list (answer);
    const PcdQmpDisk *disk;

    g_assert_cmpuint (list->len, ==, drives[i].device ? 1 : 0);
    if (!drives[i].device)
      continue;
    disk = list->pdata[0];
    g_assert_cmpstr (disk->device, ==, drives[i].device);
    g_assert_cmpuint (disk->size, ==, drives[i].size);
    g_assert_cmpuint (disk->allocated, ==, drives[i].allocated);
    g_assert_cmpstr (disk->why_not, ==, drives[i].why_not);
  }
}

/* What is not an answer has no drives. */
static void
test_list_nonsense (void)
{
  static const char *const answers[] = { "{}",   "[]",
                                         "[[]]", "[null]",
                                         "7",    "[{'qdev':7,'removable':true,'inserted':[]}]" };

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++) {
    g_autoptr (JsonNode) answer = parse (answers[i]);
    g_autoptr (GPtrArray) list = pcd_qmp_block_list (answer);
    g_autoptr (GPtrArray) jobs = pcd_qmp_block_jobs (answer);
    g_autoptr (GPtrArray) nodes = pcd_qmp_block_nodes (answer);

    g_assert_cmpuint (list->len + jobs->len + nodes->len, ==, 0);
  }
}

/* ---- what QEMU is told ---- */

static void
assert_json (JsonObject *object, const char *expected)
{
  g_autoptr (JsonObject) owned = object;
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), owned);
  g_autoptr (JsonNode) wanted = parse (expected);
  g_autofree char *text = json_to_string (node, FALSE), *other = json_to_string (wanted, FALSE);

  g_assert_cmpstr (text, ==, other);
}

static void
test_arguments (void)
{
  PcdQmpDisk one = { .node = (char *)"libvirt-2-format" };
  PcdQmpDisk two = { .node = (char *)"libvirt-1-format" };
  g_autoptr (GPtrArray) disks = g_ptr_array_new (), names = g_ptr_array_new ();

  g_ptr_array_add (disks, &one);
  g_ptr_array_add (disks, &two);
  g_ptr_array_add (names, (gpointer) "pcd-copy-0-512");
  g_ptr_array_add (names, (gpointer) "pcd-copy-1-512");
  assert_json (pcd_qmp_block_add ("pcd-copy-0-512", 4711, 10),
               "{'driver':'nbd','node-name':'pcd-copy-0-512','server':{'type':'inet',"
               "'host':'127.0.0.1','port':'4711'},'export':'pcd-copy-0-512',"
               "'reconnect-delay':10}");
  assert_json (pcd_qmp_block_begin (disks, names, 7),
               "{'actions':[{'type':'blockdev-backup','data':{'job-id':'pcd-copy-0-512',"
               "'device':'libvirt-2-format','target':'pcd-copy-0-512','sync':'full','speed':7,"
               "'auto-finalize':false,'auto-dismiss':false}},"
               "{'type':'blockdev-backup','data':{'job-id':'pcd-copy-1-512',"
               "'device':'libvirt-1-format','target':'pcd-copy-1-512','sync':'full','speed':7,"
               "'auto-finalize':false,'auto-dismiss':false}}]}");
  assert_json (pcd_qmp_block_share_rw ("ide0-0-0"),
               "{'path':'/machine/peripheral/ide0-0-0','property':'share-rw'}");
  assert_json (pcd_qmp_block_share_rw ("/machine/unattached/device[1]"),
               "{'path':'/machine/unattached/device[1]','property':'share-rw'}");
}

static void
test_jobs (void)
{
  g_autoptr (JsonNode) answer =
      parse ("[{'id':'pull-vda','status':'running'},"
             "{'id':'pcd-copy-0-9','status':'running','current-progress':3,'total-progress':9},"
             "{'id':'pcd-copy-1-9','status':'pending'},"
             "{'id':'pcd-copy-2-9','status':'concluded','error':'No'},"
             "{'id':'pcd-copy-3-9','status':'aborting'},{'status':'running'}]");
  g_autoptr (JsonNode) nodes_answer =
      parse ("[{'node-name':'libvirt-1-format'},{'node-name':'pcd-copy-0-9'},{'node-name':'#b1'}]");
  g_autoptr (GPtrArray) jobs = pcd_qmp_block_jobs (answer);
  g_autoptr (GPtrArray) nodes = pcd_qmp_block_nodes (nodes_answer);
  const PcdQmpJob *job;

  g_assert_cmpuint (jobs->len, ==, 4);
  job = jobs->pdata[0];
  g_assert_true (!job->is_done && !job->is_over && job->current == 3 && job->total == 9);
  job = jobs->pdata[1];
  g_assert_true (job->is_done && !job->is_over);
  job = jobs->pdata[2];
  g_assert_true (job->is_over);
  g_assert_cmpstr (job->error, ==, "No");
  job = jobs->pdata[3];
  g_assert_true (!job->is_done && !job->is_over);
  g_assert_cmpuint (nodes->len, ==, 1);
  g_assert_cmpstr (nodes->pdata[0], ==, "pcd-copy-0-9");
}

/* ---- the image ---- */

static int
temporary (char **ret_path)
{
  int fd = g_file_open_tmp ("pcd-disks-XXXXXX", ret_path, NULL);

  g_assert_cmpint (fd, >=, 0);
  return fd;
}

/* Through the eyes of QEMU. */
static void
check_by_qemu_img (const char *path, const guint8 *expected, gsize size)
{
  g_autofree char *program = g_find_program_in_path ("qemu-img");
  g_autofree char *raw = g_strconcat (path, ".raw", NULL);
  g_autofree char *contents = NULL;
  const char *check[] = { program, "check", "-q", "-f", "qcow2", path, NULL };
  const char *convert[] = { program, "convert", "-f", "qcow2", "-O", "raw", path, raw, NULL };
  gsize length;
  int status = -1;

  if (!program) {
    g_test_message ("there is no qemu-img");
    return;
  }
  g_spawn_sync (NULL, (char **)check, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, NULL);
  g_assert_cmpint (status, ==, 0);
  g_spawn_sync (NULL, (char **)convert, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status,
                NULL);
  g_assert_cmpint (status, ==, 0);
  g_assert_true (g_file_get_contents (raw, &contents, &length, NULL));
  g_unlink (raw);
  g_assert_cmpmem (contents, length, expected, size);
}

static void
test_image (void)
{
  const gsize size = (3u << 20) + 512;
  g_autofree guint8 *expected = g_malloc0 (size), *read = g_malloc (size);
  g_autofree char *path = NULL;
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdDiskImage) image = NULL;
  int fd = temporary (&path);

  image = pcd_disk_image_new (fd, size);
  for (guint i = 0; i < 400; i++) {
    const gsize at = (gsize)g_rand_int_range (rand, 0, (gint32)size);
    const gsize wanted = (gsize)g_rand_int_range (rand, 1, 100000), n = MIN (size - at, wanted);
    const gboolean zeros = i % 3 == 0;

    memset (expected + at, zeros ? 0 : (int)(i % 255 + 1), n);
    if (zeros)
      pcd_disk_image_write_zeros (image, at, n);
    else
      pcd_disk_image_write (image, at, expected + at, n);
  }
  memset (expected + size - 512, 9, 512);
  pcd_disk_image_write (image, size - 512, expected + size - 512, 512);
  pcd_disk_image_read (image, 0, read, size);
  g_assert_cmpmem (read, size, expected, size);
  g_assert_true (pcd_disk_image_finish (image, &error));
  check_by_qemu_img (path, expected, size);
  g_unlink (path);
  close (fd);
}

/* Zeros take no room: five clusters of metadata are left. */
static void
test_image_empty (void)
{
  const guint64 size = G_GUINT64_CONSTANT (1) << 40;
  g_autofree char *path = NULL;
  g_autofree guint8 *zeros = g_malloc0 (1u << 20);
  g_autoptr (PcdDiskImage) image = NULL;
  struct stat status;
  int fd = temporary (&path);

  image = pcd_disk_image_new (fd, size);
  pcd_disk_image_write (image, size / 2, zeros, 1u << 20);
  pcd_disk_image_write_zeros (image, 0, size);
  g_assert_true (pcd_disk_image_finish (image, NULL));
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  g_assert_cmpint (status.st_size, <, 1 << 20);
  g_unlink (path);
  close (fd);
}

/* The first error is kept, writes go on as if nothing were. */
static void
test_image_full (void)
{
  int fd = open ("/dev/full", O_RDWR | O_CLOEXEC);
  g_autoptr (PcdDiskImage) image = pcd_disk_image_new (fd, 1u << 20);
  g_autoptr (GError) error = NULL;

  pcd_disk_image_write (image, 0, "x", 1);
  pcd_disk_image_write (image, 0, "x", 1);
  g_assert_false (pcd_disk_image_check (image, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_false (pcd_disk_image_finish (image, NULL));
  close (fd);
}

/* ---- the protocol ---- */

typedef struct {
  int fd; /* the server's end */
  PcdDiskImage *image;
} Server;

static gboolean
find (const char *name, gpointer data, PcdDiskExport *ret_export)
{
  Server *server = data;

  ret_export->image = server->image;
  ret_export->size = 1u << 20;
  return g_str_equal (name, "disk");
}

static gpointer
serve (gpointer data)
{
  Server *server = data;

  pcd_disk_nbd_serve (server->fd, find, server);
  shutdown (server->fd, SHUT_RDWR);
  return NULL;
}

/* "" for nothing: the other end hung up. */
static void
expect (int fd, const char *hex)
{
  for (; *hex; hex += 2) {
    guint8 byte;

    g_assert_cmpint (recv (fd, &byte, 1, MSG_WAITALL), ==, 1);
    g_assert_cmpint (byte, ==, g_ascii_xdigit_value (hex[0]) << 4 | g_ascii_xdigit_value (hex[1]));
  }
}

static void
say (int fd, const char *hex)
{
  for (; *hex; hex += 2) {
    const guint8 byte =
        (guint8)(g_ascii_xdigit_value (hex[0]) << 4 | g_ascii_xdigit_value (hex[1]));
    g_assert_cmpint (send (fd, &byte, 1, MSG_NOSIGNAL), ==, 1);
  }
}

#define GREETING "4e42444d4147494349484156454f5054"
#define OPTION   "49484156454f5054"
#define ANSWER   "0003e889045565a9"
#define GO_DISK                                                                                    \
  OPTION "000000070000000a"                                                                        \
         "000000046469736b0000"

/* What is said, what is answered; then the server hangs up if it is told so. */
static void
talk (PcdDiskImage *image, const char *const *lines, guint n_lines)
{
  int ends[2];
  Server server = { .image = image };
  GThread *thread;
  guint8 byte;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
  server.fd = ends[1];
  thread = g_thread_new ("nbd", serve, &server);
  expect (ends[0], GREETING "0003");
  for (guint i = 0; i + 1 < n_lines; i += 2) {
    say (ends[0], lines[i]);
    expect (ends[0], lines[i + 1]);
  }
  if (n_lines % 2) { /* the last is what it does not stand */
    say (ends[0], lines[n_lines - 1]);
    g_assert_cmpint (recv (ends[0], &byte, 1, MSG_WAITALL), ==, 0);
  }
  close (ends[0]);
  g_thread_join (thread);
  close (ends[1]);
}

static void
test_nbd (void)
{
  g_autofree char *path = NULL;
  int fd = temporary (&path);
  g_autoptr (PcdDiskImage) image = pcd_disk_image_new (fd, 1u << 20);
  static const char *const lines[] = {
    "00000003" OPTION "0000000800000000", /* structured replies */
    ANSWER "000000088000000100000000",
    OPTION "000000070000000a"
           "000000046e6f6e650000", /* "none" */
    ANSWER "000000078000000600000000",
    GO_DISK,
    ANSWER "00000007000000030000000c"
           "000000000000001000000045" ANSWER "00000007000000030000000e"
           "0003000000010001000002000000" ANSWER "000000070000000100000000",
    /* write, write zeroes, flush, read */
    "25609513"
    "0000"
    "0001"
    "0102030405060708"
    "0000000000000ffe"
    "00000004"
    "aabbccdd",
    "67446698"
    "00000000"
    "0102030405060708",
    "25609513"
    "0000"
    "0006"
    "0000000000000001"
    "0000000000000fff"
    "00000001",
    "67446698"
    "00000000"
    "0000000000000001",
    "25609513"
    "0000"
    "0003"
    "0000000000000002"
    "0000000000000000"
    "00000000",
    "67446698"
    "00000000"
    "0000000000000002",
    "25609513"
    "0000"
    "0000"
    "0000000000000003"
    "0000000000000ffd"
    "00000006",
    "67446698"
    "00000000"
    "0000000000000003"
    "00aa00ccdd00",
    "25609513"
    "0000"
    "0002"
    "0000000000000004"
    "0000000000000000"
    "00000000",
  };

  talk (image, lines, G_N_ELEMENTS (lines));
  g_unlink (path);
  close (fd);
}

static void
test_nbd_nonsense (void)
{
  static const char *const hello[] = {
    "00000000", /* not fixed newstyle */
    "00000003"
    "49484156454f505f"
    "0000000700000000",                   /* no option */
    "00000003" OPTION "00000007ffffffff", /* too long */
  };
  static const char *const requests[] = {
    "25609514"
    "0000"
    "0001"
    "0000000000000000"
    "0000000000000000"
    "00000001", /* no request */
    "25609513"
    "0000"
    "0001"
    "0000000000000000"
    "0000000000100000"
    "00000001", /* behind the end */
    "25609513"
    "0000"
    "0000"
    "0000000000000000"
    "ffffffffffffffff"
    "00000001",
    "25609513"
    "0000"
    "0006"
    "0000000000000000"
    "0000000000000001"
    "00100000",
    "25609513"
    "0000"
    "0063"
    "0000000000000000"
    "0000000000000000"
    "00000000", /* unknown */
  };

  for (guint i = 0; i < G_N_ELEMENTS (hello); i++)
    talk (NULL, &hello[i], 1);
  for (guint i = 0; i < G_N_ELEMENTS (requests); i++) {
    const char *lines[] = { "00000003" GO_DISK,
                            ANSWER "00000007000000030000000c"
                                   "000000000000001000000045" ANSWER "00000007000000030000000e"
                                   "0003000000010001000002000000" ANSWER "000000070000000100000000",
                            requests[i] };
    talk (NULL, lines, G_N_ELEMENTS (lines));
  }
}

/* ---- who may connect ---- */

static int
connect_to (guint16 port)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port = htons (port),
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpint (connect (fd, (struct sockaddr *)&address, sizeof address), ==, 0);
  return fd;
}

/* This process may, as it is told to be the one; at another's server it is hung up on. */
static void
test_server (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdDiskServer) own = pcd_disk_server_new (getpid (), 0, &error);
  g_autoptr (PcdDiskServer) other = NULL;
  guint8 byte;
  int fd;

  g_assert_no_error (error);
  fd = connect_to (pcd_disk_server_get_port (own));
  expect (fd, GREETING "0003");
  close (fd);
  other = pcd_disk_server_new (getppid (), 0, &error);
  g_assert_no_error (error);
  fd = connect_to (pcd_disk_server_get_port (other));
  g_assert_cmpint (recv (fd, &byte, 1, MSG_WAITALL), <=, 0);
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disks/list", test_list);
  g_test_add_func ("/disks/list-nonsense", test_list_nonsense);
  g_test_add_func ("/disks/arguments", test_arguments);
  g_test_add_func ("/disks/jobs", test_jobs);
  g_test_add_func ("/disks/image", test_image);
  g_test_add_func ("/disks/image-empty", test_image_empty);
  g_test_add_func ("/disks/image-full", test_image_full);
  g_test_add_func ("/disks/nbd", test_nbd);
  g_test_add_func ("/disks/nbd-nonsense", test_nbd_nonsense);
  g_test_add_func ("/disks/server", test_server);
  return g_test_run ();
}
