/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One event after the other to each program of a folder, in the order of their names. */
#include "sinks/exec/pcd-exec.h"

#include "core/pcd-record.h"
#include "engine/pcd-log.h"
#include "host/pcd-child.h"
#include "host/pcd-trusted-file.h"
#include "sinks/exec/pcd-exec-words.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* EX_TEMPFAIL of sysexits.h: the only status that asks for more. */
#define TRY_AGAIN 75

/* Of what a hook wrote, for the log. */
#define MAX_TEXT  300
#define MAX_LINES 3

/* How long what was sent SIGTERM may take before SIGKILL. */
#define GRACE_USEC (2 * G_TIME_SPAN_SECOND)
/* For killing what is late, and what follows. */
#define SLACK_USEC (GRACE_USEC + 500 * G_TIME_SPAN_MILLISECOND)

typedef struct {
  char *directory;
  gint64 timeout_usec;
  char *at;         /* id of the event that @done is about */
  GHashTable *done; /* names of hooks that need not see it again */
  GHashTable *told; /* path -> why it is not run: said once */
} Exec;

static void
exec_free (gpointer sink)
{
  Exec *self = sink;

  g_free (self->directory);
  g_free (self->at);
  g_hash_table_unref (self->done);
  g_hash_table_unref (self->told);
  g_free (self);
}

static gpointer
exec_new (GHashTable *keys, GError **error)
{
  static const char *const known[] = { "directory", NULL };
  const char *directory = g_hash_table_lookup (keys, "directory");

  if (!pcd_sink_check_keys (keys, known, error))
    return NULL;
  if (directory && !g_path_is_absolute (directory)) {
    g_autofree char *escaped = g_strescape (directory, NULL);
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                 "directory: got \"%.100s\", expected an absolute path such as %s", escaped,
                 PCD_EXEC_DIRECTORY);
    return NULL;
  }
  Exec *self = g_new0 (Exec, 1);
  self->directory = g_strdup (directory ?: PCD_EXEC_DIRECTORY);
  self->done = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

/* ---- which hooks ---- */

static gint
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* What editors and packagers leave behind is nobody's hook. */
static gboolean
is_left_over (const char *name)
{
  return name[0] == '.' || g_str_has_suffix (name, "~") || g_str_has_suffix (name, ".bak") ||
         strstr (name, ".dpkg-") || strstr (name, ".rpm");
}

static gboolean
is_executable (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 && S_ISREG (st.st_mode) && (st.st_mode & 0111);
}

static GPtrArray *
list_hooks (const Exec *self)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (self->directory, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (self->directory, name, NULL);
    if (!is_left_over (name) && is_executable (path))
      g_ptr_array_add (names, g_strdup (name));
  }
  g_ptr_array_sort (names, compare);
  return names;
}

static void say (const char *message_id, const char *path, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static void
say (const char *message_id, const char *path, const char *format, ...)
{
  g_autofree char *name = g_filename_display_name (path);
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", message_id, "PCD_HOOK", name,
                    "MESSAGE", "hook %s %s", name, text);
}

/* What a link leads to may be anybody's to change, and is not where an administrator looks. */
static gboolean
stays_inside (const Exec *self, const char *path, GError **error)
{
  g_autofree char *real = realpath (path, NULL), *folder = realpath (self->directory, NULL);
  g_autofree char *parent = real ? g_path_get_dirname (real) : NULL;

  if (parent && folder && strcmp (parent, folder) == 0)
    return TRUE;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_PERM, "%s is a link out of its folder", path);
  return FALSE;
}

static gboolean
may_run (Exec *self, const char *path)
{
  g_autoptr (GError) error = NULL;

  if (pcd_trusted_file_check (path, TRUE, &error) && stays_inside (self, path, &error)) {
    g_hash_table_remove (self->told, path);
    return TRUE;
  }
  if (g_strcmp0 (g_hash_table_lookup (self->told, path), error->message) != 0) {
    g_hash_table_insert (self->told, g_strdup (path), g_strdup (error->message));
    say (PCD_MESSAGE_HOOK_REFUSED, path, "is not run: %s", error->message);
  }
  return FALSE;
}

/* ---- running them ---- */

static char *
first_lines (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", MAX_LINES + 1);
  g_autoptr (GString) joined = g_string_new (NULL);

  for (guint i = 0; lines[i] && i < MAX_LINES; i++)
    if (lines[i][0])
      g_string_append_printf (joined, "%s%s", joined->len ? " / " : "", lines[i]);
  g_string_truncate (joined, MIN (joined->len, MAX_TEXT));
  return pcd_text_printable (joined->str);
}

/* Returns: whether the hook is done with the event */
static gboolean
judge (const char *path, PcdChildEnd end, int status, const char *text, gint64 timeout_usec)
{
  const char *colon = text[0] ? ": " : "";

  if (end == PCD_CHILD_CANCELLED)
    return FALSE;
  if (end == PCD_CHILD_TIMED_OUT)
    say (PCD_MESSAGE_HOOK_FAILED, path, "did not end within %g s and was killed%s%s",
         (double)timeout_usec / G_USEC_PER_SEC, colon, text);
  else if (end == PCD_CHILD_NOT_STARTED)
    say (PCD_MESSAGE_HOOK_FAILED, path, "could not be started%s%s", colon, text);
  else if (WIFSIGNALED (status))
    say (PCD_MESSAGE_HOOK_FAILED, path, "was ended by signal %d%s%s", WTERMSIG (status), colon,
         text);
  else if (WEXITSTATUS (status) == TRY_AGAIN)
    return FALSE;
  else if (WEXITSTATUS (status) != 0)
    say (PCD_MESSAGE_HOOK_FAILED, path, "ended with status %d%s%s", WEXITSTATUS (status), colon,
         text);
  return TRUE;
}

/* The four words follow argv[0]. */
static gboolean
run_hook (
    Exec *self, const char *path, const PostcopydNote *note, GStrv words, const PostcopydJob *job)
{
  char *argv[] = { (char *)path, words[0], words[1], words[2], words[3], NULL };
  g_auto (GStrv) environment = pcd_exec_environment (note);
  g_autofree char *input = g_strconcat (note->json, "\n", NULL);
  const PcdChild child = {
    .name = "event",
    .argv = argv,
    .environment = environment,
    .input = input,
    .until_usec = MIN (g_get_monotonic_time () + self->timeout_usec, job->deadline_usec),
    .grace_usec = GRACE_USEC,
    .cancel_fd = job->cancel_fd (job),
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *written = NULL;
  int status = 0;
  const PcdChildEnd end = pcd_child_run (&child, &status, &written, &error);
  g_autofree char *text = written ? first_lines (written) : pcd_text_printable (error->message);

  return judge (path, end, status, text, self->timeout_usec);
}

/* Returns: (nullable): the name of a hook that wants to see the event again */
static const char *
run_all (
    Exec *self, GPtrArray *hooks, const PostcopydNote *note, GStrv words, const PostcopydJob *job)
{
  const char *again = NULL;

  for (guint i = 0; i < hooks->len; i++) {
    const char *name = g_ptr_array_index (hooks, i);
    g_autofree char *path = g_build_filename (self->directory, name, NULL);

    if (g_hash_table_contains (self->done, name) || !may_run (self, path))
      continue;
    if (job->cancelled (job) || g_get_monotonic_time () >= job->deadline_usec)
      return name;
    if (run_hook (self, path, note, words, job))
      g_hash_table_add (self->done, g_strdup (name));
    else
      again = again ?: name;
  }
  return again;
}

static PostcopydOutcome
exec_deliver (gpointer sink,
              const PostcopydNote *const *notes,
              uint32_t n_notes,
              const PostcopydJob *job,
              PostcopydDelivery *ret_delivery,
              char *reason,
              size_t reason_size)
{
  Exec *self = sink;
  g_autoptr (GPtrArray) hooks = list_hooks (self);

  for (guint i = 0; i < n_notes; i++) {
    g_auto (GStrv) words = pcd_exec_words (notes[i]);

    ret_delivery->n_delivered = i;
    if (!words) {
      g_snprintf (reason, reason_size, "not a JSON object");
      return POSTCOPYD_REFUSED;
    }
    if (g_strcmp0 (self->at, notes[i]->id) != 0) {
      g_free (self->at);
      self->at = g_strdup (notes[i]->id);
      g_hash_table_remove_all (self->done);
    }
    const char *again = run_all (self, hooks, notes[i], words, job);
    if (again) {
      g_snprintf (reason, reason_size, "hook %s has to see the event again", again);
      return POSTCOPYD_FAILED;
    }
  }
  return POSTCOPYD_DONE;
}

/* The time-out is each hook's own. */
static gint64
exec_budget (gpointer sink, gint64 timeout_usec)
{
  Exec *self = sink;
  g_autoptr (GPtrArray) hooks = list_hooks (self);

  self->timeout_usec = timeout_usec;
  return (timeout_usec + SLACK_USEC) * MAX (hooks->len, 1);
}

const PcdSinkType pcd_exec_sink_type = {
  .name = "exec",
  .max_batch = 1,
  .create = exec_new,
  .free = exec_free,
  .deliver = exec_deliver,
  .budget_usec = exec_budget,
};
