/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's qemu hook: gives an incoming domain its control monitor and makes that root's alone.
 * Whatever happens it ends soon, with status 0, and with nothing on stdout on any doubt: libvirt
 * then goes on with the XML it has (safety rule 9). Must not call libvirt, which waits for it. */
#include "pcd-hook-xml.h"
#include "qmp/pcd-monitor.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* libvirt writes its XML at once; a longer wait means that no XML will come. */
#define INPUT_DEADLINE_S  3
#define OUTPUT_DEADLINE_S 10

static void
note (const char *domain, const char *what)
{
  openlog ("postcopyd-hook", LOG_PID, LOG_DAEMON);
  syslog (LOG_NOTICE, "domain %s: %s", domain, what);
  closelog ();
}

static gboolean
wait_for (int fd, short what, gint64 deadline)
{
  gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
  struct pollfd pfd = { .fd = fd, .events = what };

  return left > 0 && poll (&pfd, 1, (int)left) > 0;
}

static GByteArray *
read_input (GError **error)
{
  g_autoptr (GByteArray) input = g_byte_array_new ();
  gint64 deadline = g_get_monotonic_time () + INPUT_DEADLINE_S * G_TIME_SPAN_SECOND;
  guint8 chunk[65536];
  gssize n;

  while (wait_for (STDIN_FILENO, POLLIN, deadline)) {
    n = read (STDIN_FILENO, chunk, sizeof chunk);
    if (n == 0)
      return g_steal_pointer (&input);
    if (n > 0)
      g_byte_array_append (input, chunk, n);
    else if (errno != EINTR && errno != EAGAIN)
      break;
    if (input->len > PCD_HOOK_MAX_XML)
      break;
  }
  g_set_error_literal (error, PCD_HOOK_ERROR, PCD_HOOK_ERROR_DOUBT,
                       input->len > PCD_HOOK_MAX_XML ? "its XML is too long"
                                                     : "its XML cannot be read from stdin");
  return NULL;
}

/* Once a byte is out there is no way back, so this goes on as long as the reader is there. */
static void
write_output (const char *text)
{
  gint64 deadline = g_get_monotonic_time () + OUTPUT_DEADLINE_S * G_TIME_SPAN_SECOND;
  gsize left = strlen (text);

  while (left > 0 && wait_for (STDOUT_FILENO, POLLOUT, deadline)) {
    gssize n = write (STDOUT_FILENO, text, left);

    if (n > 0) {
      text += n;
      left -= n;
    } else if (errno != EINTR && errno != EAGAIN)
      return;
  }
}

static void
add_monitor (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GByteArray) input = read_input (&error);
  g_autofree char *output = NULL;

  if (input)
    output = pcd_hook_xml_add_monitor ((const char *)input->data, input->len, &error);
  if (output)
    write_output (output);
  else if (error) {
    g_autofree char *text = g_strdup_printf ("no control monitor added: %s", error->message);
    note (name, text);
  }
}

/* /run/libvirt/qemu/NAME.pid; libvirt names it so for a privileged daemon since ever. */
static pid_t
qemu_pid (const char *name)
{
  g_autofree char *path = g_strdup_printf ("/run/libvirt/qemu/%s.pid", name);
  g_autofree char *text = NULL;

  if (strchr (name, '/') || !g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  return (pid_t)g_ascii_strtoll (text, NULL, 10);
}

/* Between QEMU's start and now the pty belonged to QEMU's user. */
static void
make_private (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GByteArray) input = NULL;
  g_autofree char *path = NULL;
  pid_t pid = qemu_pid (name);

  if (pid <= 1)
    return;
  input = read_input (&error);
  if (input) {
    g_byte_array_append (input, (const guint8 *)"", 1);
    path = pcd_monitor_find (pid, (const char *)input->data, &error);
  }
  if (g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    return;
  if (!path || !pcd_monitor_make_private (path, &error))
    note (name, error->message);
}

/* Only for a person: libvirt gives four arguments. */
static int
print_help (void)
{
  printf ("Usage:\n  postcopyd-hook DOMAIN OPERATION SUB-OPERATION EXTRA\n\n"
          "libvirt runs it by /etc/libvirt/hooks/qemu.d/postcopyd. It gives an incoming\n"
          "domain, whose XML is read and written, the control monitor of postcopyd.\n\n"
          "See postcopyd-hook(8).\n");
  return fflush (stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  signal (SIGPIPE, SIG_IGN);
  if (argc == 2 && (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0))
    return print_help ();
  if (argc < 4 || strcmp (argv[3], "begin") != 0)
    return EXIT_SUCCESS;
  if (strcmp (argv[2], "migrate") == 0)
    add_monitor (argv[1]);
  else if (strcmp (argv[2], "started") == 0)
    make_private (argv[1]);
  return EXIT_SUCCESS;
}
