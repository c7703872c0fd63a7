/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded into our programs by test-messages.py: writes down every error message that they make,
 * with the format that it was made of. Knows nothing of what the messages are. */
#include <dlfcn.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIELD  "\x1f"
#define RECORD "\x1e"

/* GLib and the libraries above it make errors in the same way; those are not ours. */
static gboolean
is_ours (const void *caller)
{
  Dl_info info;

  return !dladdr (caller, &info) || (!g_str_has_prefix (info.dli_fname, "/lib/") &&
                                     (!g_str_has_prefix (info.dli_fname, "/usr/lib/") ||
                                      strstr (info.dli_fname, "/postcopyd/") != NULL));
}

static void
record (const void *caller, const char *maker, const char *format, const char *text)
{
  const char *path = g_getenv ("PCD_MESSAGES");
  int fd = path ? open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;

  if (fd < 0)
    return;
  g_autofree char *line = g_strconcat (g_get_prgname () ?: "?", FIELD, is_ours (caller) ? "1" : "0",
                                       FIELD, maker, FIELD, format, FIELD, text, RECORD, NULL);
  /* One write: several processes append to the same file. */
  if (write (fd, line, strlen (line)) < 0)
    _exit (99);
  close (fd);
}

#define NEXT(name) ((__typeof__ (&name))dlsym (RTLD_NEXT, #name))
#define TEXT(text, format)                                                                         \
  va_list text##_args;                                                                             \
  va_start (text##_args, format);                                                                  \
  g_autofree char *text = g_strdup_vprintf (format, text##_args);                                  \
  va_end (text##_args);                                                                            \
  record (__builtin_return_address (0), __func__, format, text)

void
g_set_error (GError **error, GQuark domain, gint code, const gchar *format, ...)
{
  TEXT (text, format);
  NEXT (g_set_error_literal) (error, domain, code, text);
}

void
g_set_error_literal (GError **error, GQuark domain, gint code, const gchar *message)
{
  record (__builtin_return_address (0), __func__, message, message);
  NEXT (g_set_error_literal) (error, domain, code, message);
}

GError *
g_error_new (GQuark domain, gint code, const gchar *format, ...)
{
  TEXT (text, format);
  return NEXT (g_error_new_literal) (domain, code, text);
}

GError *
g_error_new_literal (GQuark domain, gint code, const gchar *message)
{
  record (__builtin_return_address (0), __func__, message, message);
  return NEXT (g_error_new_literal) (domain, code, message);
}

GError *
g_error_new_valist (GQuark domain, gint code, const gchar *format, va_list args)
{
  g_autofree char *text = g_strdup_vprintf (format, args);

  record (__builtin_return_address (0), __func__, format, text);
  return NEXT (g_error_new_literal) (domain, code, text);
}

void
g_prefix_error (GError **error, const gchar *format, ...)
{
  TEXT (text, format);
  if (error && *error)
    NEXT (g_prefix_error) (error, "%s", text);
}

void
g_propagate_prefixed_error (GError **dest, GError *src, const gchar *format, ...)
{
  TEXT (text, format);
  NEXT (g_propagate_prefixed_error) (dest, src, "%s", text);
}

void
g_task_return_new_error (GTask *task, GQuark domain, gint code, const gchar *format, ...)
{
  TEXT (text, format);
  g_task_return_error (task, NEXT (g_error_new_literal) (domain, code, text));
}

void
g_dbus_method_invocation_return_error (
    GDBusMethodInvocation *invocation, GQuark domain, gint code, const gchar *format, ...)
{
  TEXT (text, format);
  g_dbus_method_invocation_return_error_literal (invocation, domain, code, text);
}

void
g_printerr (const gchar *format, ...)
{
  TEXT (text, format);
  NEXT (g_printerr) ("%s", text);
}

/* What came of an action: pcd-action-util.c */
gint
g_vsnprintf (gchar *string, gulong n, gchar const *format, va_list args)
{
  const int length = vsnprintf (string, n, format, args);

  record (__builtin_return_address (0), __func__, format, string);
  return length;
}
