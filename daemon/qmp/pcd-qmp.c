/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection: bytes, lines, and who waits for which answer until when.
 * Must not know what the commands mean. */
#include "qmp/pcd-qmp-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK (pcd - qmp - error - quark, pcd_qmp_error)

/* One turn of the loop takes no more than this, however much QEMU says. */
#define BYTES_PER_TURN (64u << 10)

/* A command on its way. Without @task nobody waits any more. */
typedef struct {
  PcdQmp *qmp; /* not a reference: @qmp owns this */
  char *id;
  GTask *task;
  GSource *timer;
  GSource *cancelled;
  gboolean oob;
} Command;

void
pcd_qmp_source_clear (GSource **source)
{
  if (!*source)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

GSource *
pcd_qmp_source_attach (PcdQmp *qmp, GSource *source, GSourceFunc function, gpointer data)
{
  g_source_set_callback (source, function, data, NULL);
  g_source_attach (source, qmp->context);
  return source;
}

static void
command_free (gpointer data)
{
  Command *command = data;

  pcd_qmp_source_clear (&command->timer);
  pcd_qmp_source_clear (&command->cancelled);
  g_clear_object (&command->task);
  g_free (command->id);
  g_free (command);
}

static GTask *
command_give_up (Command *command)
{
  pcd_qmp_source_clear (&command->timer);
  pcd_qmp_source_clear (&command->cancelled);
  return g_steal_pointer (&command->task);
}

/* Ends everything; does not tell the listener. */
static void
shut (PcdQmp *qmp, const GError *why)
{
  g_autoptr (GPtrArray) tasks = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer command;

  if (qmp->fd < 0)
    return;
  pcd_qmp_source_clear (&qmp->readable);
  pcd_qmp_source_clear (&qmp->writable);
  pcd_qmp_source_clear (&qmp->deadline);
  pcd_qmp_source_clear (&qmp->ungreeted);
  close (qmp->fd);
  qmp->fd = -1;
  g_hash_table_iter_init (&iter, qmp->pending);
  while (g_hash_table_iter_next (&iter, NULL, &command)) {
    GTask *task = command_give_up (command);
    if (task)
      g_ptr_array_add (tasks, task);
  }
  g_hash_table_remove_all (qmp->pending);
  qmp->in_band = 0;
  for (guint i = 0; i < tasks->len; i++)
    g_task_return_error (tasks->pdata[i], g_error_copy (why));
}

void
pcd_qmp_fail (PcdQmp *qmp, GError *why)
{
  g_autoptr (GError) error = why;
  g_autoptr (GTask) connecting = g_steal_pointer (&qmp->connecting);

  if (qmp->fd < 0)
    return;
  shut (qmp, error);
  if (connecting)
    g_task_return_error (connecting, g_steal_pointer (&error));
  else if (qmp->listener && qmp->listener->closed)
    qmp->listener->closed (qmp, error, qmp->user_data);
}

static GError *
lost (const char *what)
{
  return g_error_new (PCD_QMP_ERROR, PCD_QMP_ERROR_CLOSED, "the control monitor is closed: %s",
                      what);
}

void
pcd_qmp_close (PcdQmp *qmp)
{
  g_autoptr (PcdQmp) keep = pcd_qmp_ref (qmp); /* whoever is told may drop the last one */
  g_autoptr (GError) why = lost ("by postcopyd");

  shut (keep, why);
}

PcdQmp *
pcd_qmp_ref (PcdQmp *qmp)
{
  g_ref_count_inc (&qmp->refs);
  return qmp;
}

void
pcd_qmp_unref (PcdQmp *qmp)
{
  g_autoptr (GError) why = NULL;

  if (!g_ref_count_dec (&qmp->refs))
    return;
  why = lost ("by postcopyd");
  shut (qmp, why);
  g_clear_object (&qmp->connecting);
  g_hash_table_unref (qmp->pending);
  g_byte_array_unref (qmp->in);
  g_string_free (qmp->out, TRUE);
  g_free (qmp->prefix);
  g_main_context_unref (qmp->context);
  g_free (qmp);
}

/* Out */

static gboolean on_writable (int fd, GIOCondition condition, gpointer data);

/* TRUE: everything is out, or the connection is gone. */
static gboolean
flush (PcdQmp *qmp)
{
  while (qmp->out->len > 0) {
    gssize n = write (qmp->fd, qmp->out->str, qmp->out->len);

    if (n > 0)
      g_string_erase (qmp->out, 0, n);
    else if (errno == EAGAIN)
      return FALSE;
    else if (errno != EINTR) {
      /* The reading side says it: there may be something left to read first. */
      g_string_truncate (qmp->out, 0);
      return TRUE;
    }
  }
  return TRUE;
}

static void
flush_or_wait (PcdQmp *qmp)
{
  if (qmp->writable || flush (qmp))
    return;
  qmp->writable = pcd_qmp_source_attach (qmp, g_unix_fd_source_new (qmp->fd, G_IO_OUT),
                                         G_SOURCE_FUNC (on_writable), qmp);
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer data)
{
  PcdQmp *qmp = data;

  if (!flush (qmp))
    return G_SOURCE_CONTINUE;
  pcd_qmp_source_clear (&qmp->writable);
  return G_SOURCE_REMOVE;
}

/* Commands */

static gboolean
on_command_deadline (gpointer data)
{
  g_autoptr (GTask) task = command_give_up (data);

  g_task_return_new_error (task, PCD_QMP_ERROR, PCD_QMP_ERROR_TIMEOUT,
                           "QEMU has not answered '%s' within its deadline",
                           (const char *)g_task_get_task_data (task));
  return G_SOURCE_REMOVE;
}

static gboolean
on_command_cancelled (GCancellable *cancellable, gpointer data)
{
  g_autoptr (GTask) task = command_give_up (data);

  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED, "'%s' was cancelled",
                           (const char *)g_task_get_task_data (task));
  return G_SOURCE_REMOVE;
}

static gboolean
may_execute (PcdQmp *qmp, const char *command, PcdQmpFlags flags, GError **error)
{
  gboolean oob = flags & PCD_QMP_OOB;

  if (qmp->fd < 0) {
    g_propagate_error (error, lost ("already"));
    return FALSE;
  }
  if (oob && !qmp->has_oob && !qmp->connecting) {
    g_set_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_NO_OOB,
                 "'%s' cannot be sent out of band: this QEMU did not agree to it", command);
    return FALSE;
  }
  if (g_hash_table_size (qmp->pending) >= PCD_QMP_MAX_PENDING ||
      (!oob && qmp->in_band >= PCD_QMP_MAX_IN_BAND)) {
    g_set_error (error, PCD_QMP_ERROR, PCD_QMP_ERROR_BUSY,
                 "'%s' is not sent: QEMU owes %u answers already", command,
                 g_hash_table_size (qmp->pending));
    return FALSE;
  }
  return TRUE;
}

void
pcd_qmp_execute_async (PcdQmp *qmp,
                       const char *command,
                       JsonObject *arguments,
                       PcdQmpFlags flags,
                       guint deadline_ms,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer callback_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, callback_data);
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;
  Command *entry;

  g_task_set_source_tag (task, pcd_qmp_execute_async);
  g_task_set_name (task, "pcd_qmp_execute");
  g_task_set_task_data (task, g_strdup (command), g_free);
  if (g_task_return_error_if_cancelled (task))
    return;
  if (!may_execute (qmp, command, flags, &error)) {
    g_task_return_error (task, g_steal_pointer (&error));
    return;
  }
  entry = g_new0 (Command, 1);
  entry->qmp = qmp;
  entry->oob = flags & PCD_QMP_OOB;
  entry->id = g_strdup_printf ("%s%" G_GUINT64_FORMAT, qmp->prefix, qmp->next_id++);
  entry->task = g_steal_pointer (&task);
  entry->timer =
      pcd_qmp_source_attach (qmp, g_timeout_source_new (deadline_ms), on_command_deadline, entry);
  if (cancellable)
    entry->cancelled = pcd_qmp_source_attach (qmp, g_cancellable_source_new (cancellable),
                                              G_SOURCE_FUNC (on_command_cancelled), entry);
  g_hash_table_insert (qmp->pending, entry->id, entry);
  qmp->in_band += !entry->oob;
  line = pcd_qmp_command_to_string (command, arguments, entry->id, entry->oob);
  g_string_append (qmp->out, line);
  flush_or_wait (qmp);
}

JsonNode *
pcd_qmp_execute_finish (GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, pcd_qmp_execute_async), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* In */

static void
take_answer (PcdQmp *qmp, PcdQmpMessage *message)
{
  Command *command = message->id ? g_hash_table_lookup (qmp->pending, message->id) : NULL;
  g_autoptr (GTask) task = NULL;

  if (!command) {
    qmp->discarded++;
    return;
  }
  task = command_give_up (command);
  qmp->in_band -= !command->oob;
  g_hash_table_remove (qmp->pending, message->id);
  if (!task)
    qmp->discarded++;
  else if (message->kind == PCD_QMP_RETURN)
    g_task_return_pointer (task, g_steal_pointer (&message->value),
                           (GDestroyNotify)json_node_unref);
  else
    g_task_return_new_error (task, PCD_QMP_ERROR, PCD_QMP_ERROR_REFUSED, "%s: %s", message->name,
                             message->text ? message->text : "no reason given");
}

static void
take_line (PcdQmp *qmp, const char *line, gsize length)
{
  g_autoptr (PcdQmpMessage) message = pcd_qmp_message_parse (line, length);

  if (!message)
    qmp->discarded++;
  else if (message->kind == PCD_QMP_RETURN || message->kind == PCD_QMP_FAULT)
    take_answer (qmp, message);
  else if (message->kind == PCD_QMP_EVENT) {
    if (!qmp->connecting && qmp->listener && qmp->listener->event)
      qmp->listener->event (qmp, message->name,
                            message->value ? json_node_get_object (message->value) : NULL,
                            message->time, qmp->user_data);
  } else if (qmp->connecting && !qmp->has_asked) {
    qmp->was_greeted = TRUE;
    pcd_qmp_ask_for_oob (qmp, message->has_oob);
  } else
    qmp->discarded++;
}

static void
take_lines (PcdQmp *qmp)
{
  gsize start = 0;

  while (qmp->fd >= 0) {
    guint8 *data = qmp->in->data;
    guint8 *end = memchr (data + qmp->scanned, '\n', qmp->in->len - qmp->scanned);

    if (!end)
      break;
    qmp->scanned = end - data + 1;
    take_line (qmp, (const char *)data + start, end - data - start);
    start = qmp->scanned;
  }
  g_byte_array_remove_range (qmp->in, 0, start);
  qmp->scanned = qmp->in->len;
}

/* How much came; 0 for nothing now, -1 for the end. A pty's other end is gone with EIO. */
static gssize
read_some (PcdQmp *qmp)
{
  guint8 chunk[16384];
  gssize n = read (qmp->fd, chunk, sizeof chunk);

  if (n > 0)
    g_byte_array_append (qmp->in, chunk, n);
  else if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  return n > 0 ? n : -1;
}

static gboolean
on_readable (int fd, GIOCondition condition, gpointer data)
{
  g_autoptr (PcdQmp) qmp = pcd_qmp_ref (data);
  gsize taken = 0;
  gssize n = 0;

  while (qmp->fd >= 0 && taken < BYTES_PER_TURN && (n = read_some (qmp)) > 0) {
    taken += n;
    take_lines (qmp);
    if (qmp->in->len > PCD_QMP_MAX_LINE)
      pcd_qmp_fail (qmp,
                    g_error_new (PCD_QMP_ERROR, PCD_QMP_ERROR_PROTOCOL,
                                 "what comes from the control monitor is not QMP: a line of more "
                                 "than %u bytes",
                                 PCD_QMP_MAX_LINE));
  }
  if (n < 0)
    pcd_qmp_fail (qmp, lost (qmp->in->len ? "QEMU ended in the middle of a line" : "QEMU ended"));
  return qmp->fd >= 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

PcdQmp *
pcd_qmp_new (int fd, const PcdQmpListener *listener, gpointer user_data)
{
  PcdQmp *qmp = g_new0 (PcdQmp, 1);

  g_ref_count_init (&qmp->refs);
  qmp->fd = fd;
  qmp->is_tty = isatty (fd);
  qmp->context = g_main_context_ref_thread_default ();
  qmp->in = g_byte_array_new ();
  qmp->out = g_string_new (NULL);
  qmp->pending = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, command_free);
  /* Not to be mistaken for the ids of a daemon that was here before. */
  qmp->prefix = g_strdup_printf ("pcd-%08x-", g_random_int ());
  qmp->listener = listener;
  qmp->user_data = user_data;
  qmp->readable =
      pcd_qmp_source_attach (qmp, g_unix_fd_source_new (fd, G_IO_IN | G_IO_HUP | G_IO_ERR),
                             G_SOURCE_FUNC (on_readable), qmp);
  return qmp;
}

/* What it is */

gboolean
pcd_qmp_is_open (PcdQmp *qmp)
{
  return qmp->fd >= 0;
}

gboolean
pcd_qmp_has_oob (PcdQmp *qmp)
{
  return qmp->has_oob;
}

guint64
pcd_qmp_get_discarded (PcdQmp *qmp)
{
  return qmp->discarded;
}

int
pcd_qmp_get_fd (PcdQmp *qmp)
{
  return qmp->fd;
}
