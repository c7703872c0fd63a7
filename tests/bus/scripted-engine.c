/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pcd-engine.h for tests of the bus: takes lines from stdin and tells listeners what they say.
 * Knows no libvirt. Answers each line with "ok" or "bad: ..." on stdout. */
#include "core/pcd-params.h"
#include "core/pcd-policy.h"
#include "engine/pcd-engine.h"

#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct _PcdEngine {
  GPtrArray *listeners; /* pairs: PcdListener, data */
  GPtrArray *migrations;
  GPtrArray *records;
  GDataInputStream *script;
  GCancellable *cancellable;
  PcdConfig config;
  gboolean connected;
  gint64 since;
  char *reason;
  guint64 seq;
  /* How orders are answered: at once if @outcome is not -1, else by `finish`. */
  int outcome;
  char *answer_reason;
  PcdOrderCallback waiting;
  PcdOrderProgress waiting_progress;
  gpointer waiting_data;
  GString *orders; /* what was asked for since `orders` */
  char *state_dir;
  int refuse; /* a GIOErrorEnum for the next hold or policy, or -1 */
};

typedef struct {
  char *uuid;
  char *name;
  int pid;
  PcdMigrationView view;
  GPtrArray *sockets;
  GStrv words; /* what the view's strings of `ladder` point into */
  char *doing_text;
  GStrv veto_words;
  GArray *vetoes; /* (element-type PcdVetoView) */
  PcdProgress progress;
  char *problem; /* why @progress is not known */
  PcdLost *lost;
} Migration;

#define TELL(self, member, ...)                                                                    \
  for (guint i_ = 0; i_ < (self)->listeners->len; i_ += 2) {                                       \
    const PcdListener *l_ = g_ptr_array_index ((self)->listeners, i_);                             \
    if (l_->member)                                                                                \
      l_->member (__VA_ARGS__, g_ptr_array_index ((self)->listeners, i_ + 1));                     \
  }

static void
socket_free (gpointer data)
{
  PcdSocketView *s = data;

  g_free (s->local);
  g_free (s->remote);
  g_free (s);
}

static void
migration_free (gpointer data)
{
  Migration *m = data;

  g_free (m->uuid);
  g_free (m->name);
  g_strfreev (m->words);
  g_free (m->doing_text);
  g_strfreev (m->veto_words);
  g_array_unref (m->vetoes);
  g_free (m->problem);
  pcd_lost_free (m->lost);
  g_ptr_array_unref (m->sockets);
  g_free (m);
}

static guint
value_of (const char *word, const char *(*to_string) (guint), guint n)
{
  for (guint i = 0; i < n; i++)
    if (g_strcmp0 (word, to_string (i)) == 0)
      return i;
  g_error ("no such word: %s", word);
}

#define VALUE_OF(word, function, n) value_of (word, (const char *(*)(guint))function, n)

static Migration *
find (PcdEngine *self, const char *uuid, PcdRole role)
{
  for (guint i = 0; i < self->migrations->len; i++) {
    Migration *m = g_ptr_array_index (self->migrations, i);
    if (g_str_equal (m->uuid, uuid) && m->view.state.role == role)
      return m;
  }
  return NULL;
}

/* migration UUID ROLE NAME PHASE FLOW CAUSE UNATTENDED BLOCKED */
static void
do_migration (PcdEngine *self, char **w)
{
  PcdRole role = VALUE_OF (w[2], pcd_role_to_string, 2);
  Migration *m = find (self, w[1], role);

  if (!m) {
    m = g_new0 (Migration, 1);
    m->uuid = g_strdup (w[1]);
    m->name = g_strcompress (w[3]);
    m->sockets = g_ptr_array_new_with_free_func (socket_free);
    m->pid = 4242;
    m->problem = g_strdup ("the script has said nothing");
    m->vetoes = g_array_new (FALSE, FALSE, sizeof (PcdVetoView));
    m->view = (PcdMigrationView){ .uuid = m->uuid, .name = m->name, .sockets = m->sockets };
    g_ptr_array_add (self->migrations, m);
  }
  PcdPhase phase = VALUE_OF (w[4], pcd_phase_to_string, PCD_N_PHASES);
  if (phase != m->view.state.phase)
    m->view.phase_time = g_get_real_time ();
  m->view.state = (PcdState){
    .role = role,
    .phase = phase,
    .flow = VALUE_OF (w[5], pcd_flow_to_string, PCD_N_FLOWS),
    .cause = VALUE_OF (w[6], pcd_cause_to_string, PCD_N_CAUSES),
    .unattended = g_str_equal (w[7], "yes"),
    .qemu = PCD_QEMU_POSTCOPY_ACTIVE,
  };
  m->view.pid = m->pid;
  m->view.measured = TRUE;
  m->view.n_vcpus = 4;
  m->view.n_blocked_vcpus = atoi (w[8]);
  m->view.note = m->view.n_blocked_vcpus == 3 ? "three are blocked" : NULL;
  TELL (self, changed, &m->view);
}

/* pid UUID ROLE PID */
static void
do_pid (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));

  m->pid = atoi (w[3]);
  m->view.pid = m->pid;
  TELL (self, changed, &m->view);
}

/* socket UUID ROLE LOCAL REMOTE ARMED HEARD */
static void
do_socket (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));
  PcdSocketView *s = g_new0 (PcdSocketView, 1);

  s->local = g_strdup (w[3]);
  s->remote = g_strdup (w[4]);
  s->armed = g_str_equal (w[5], "yes");
  s->heard_usec = g_ascii_strtoll (w[6], NULL, 10);
  s->unacked = 7;
  g_ptr_array_set_size (m->sockets, 0);
  g_ptr_array_add (m->sockets, s);
  TELL (self, changed, &m->view);
}

/* lost UUID ROLE LOCAL REMOTE INTERFACE HEARD ACKED WHY, or lost UUID ROLE for none */
static void
do_lost (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));

  g_clear_pointer (&m->lost, pcd_lost_free);
  if (w[3]) {
    g_autofree char *why = g_strcompress (w[8]);
    const PcdLost lost = {
      .why = why,
      .local = w[3],
      .remote = w[4],
      .interface = g_str_equal (w[5], "-") ? NULL : w[5],
      .heard = g_ascii_strtoll (w[6], NULL, 10),
      .acked = g_ascii_strtoll (w[7], NULL, 10),
      .unacked = 12,
      .retransmits = 5,
    };
    m->lost = pcd_lost_copy (&lost);
  }
  m->view.lost = m->lost;
  m->view.cause_detail = m->lost ? m->lost->why : NULL;
  TELL (self, changed, &m->view);
}

static const char *
word_or_null (const char *word)
{
  return g_str_equal (word, "-") ? NULL : word;
}

/* ladder UUID ROLE POLICY SOURCE HELD INCIDENT DOING LAST OUTCOME REASON NEXT TIME, - for none */
static void
do_ladder (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));

  g_strfreev (m->words);
  m->words = g_strdupv (w);
  g_autofree char *reason = g_strcompress (w[10]);
  g_free (m->words[10]);
  m->words[10] = g_steal_pointer (&reason);
  m->view.policy = word_or_null (m->words[3]);
  m->view.policy_source = word_or_null (m->words[4]);
  m->view.held = g_str_equal (w[5], "yes");
  m->view.incident = atoi (w[6]);
  m->view.doing = word_or_null (m->words[7]);
  m->view.last_action = word_or_null (m->words[8]);
  m->view.last_outcome = word_or_null (m->words[9]);
  m->view.last_reason = word_or_null (m->words[10]);
  m->view.next_action = word_or_null (m->words[11]);
  m->view.next_time = g_ascii_strtoll (w[12], NULL, 10);
  TELL (self, changed, &m->view);
}

/* veto UUID ROLE [ACTION AUTHOR REASON SINCE UNTIL]: the only one, or none */
static void
do_veto (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));

  g_strfreev (m->veto_words);
  m->veto_words = g_strdupv (w);
  g_array_set_size (m->vetoes, 0);
  if (w[3]) {
    char *reason = g_strcompress (w[5]);
    g_free (m->veto_words[5]);
    m->veto_words[5] = reason;
    const PcdVetoView view = { m->veto_words[3], m->veto_words[4], reason, atoll (w[6]),
                               atoll (w[7]) };
    g_array_append_val (m->vetoes, view);
  }
  m->view.vetoes = m->vetoes;
  TELL (self, changed, &m->view);
}

/* doing UUID ROLE TEXT DONE TOTAL: of the action that `ladder` says is under way */
static void
do_doing (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));

  g_free (m->doing_text);
  m->doing_text = g_strcompress (w[3]);
  m->view.doing_text = m->doing_text;
  m->view.doing_done = g_ascii_strtoull (w[4], NULL, 10);
  m->view.doing_total = g_ascii_strtoull (w[5], NULL, 10);
  TELL (self, changed, &m->view);
}

/* progress UUID ROLE REMAINING TOTAL RATE LEFT, or progress UUID ROLE REASON; told to nobody who
 * does not ask */
static void
do_progress (PcdEngine *self, char **w)
{
  Migration *m = find (self, w[1], VALUE_OF (w[2], pcd_role_to_string, 2));

  g_clear_pointer (&m->problem, g_free);
  m->progress = (PcdProgress){ .rate = -1, .left_usec = -1 };
  if (!w[4]) {
    m->problem = g_strcompress (w[3]);
    return;
  }
  m->progress = (PcdProgress){
    .known = TRUE,
    .remaining = g_ascii_strtoull (w[3], NULL, 10),
    .total = g_ascii_strtoull (w[4], NULL, 10),
    .page_size = 4096,
    .rate = g_ascii_strtoll (w[5], NULL, 10),
    .left_usec = g_ascii_strtoll (w[6], NULL, 10),
    .time = 1000000,
  };
}

/* answer OUTCOME|later REASON: for the orders from now on */
static void
do_answer (PcdEngine *self, char **w)
{
  g_autofree char *reason = g_strcompress (w[2]);

  self->outcome = g_str_equal (w[1], "later") ? -1 : (int)VALUE_OF (w[1], pcd_outcome_to_string, 3);
  g_free (self->answer_reason);
  self->answer_reason = g_strdup (word_or_null (reason));
}

/* finish OUTCOME REASON: the order that waits */
static void
do_finish (PcdEngine *self, char **w)
{
  PcdOrderCallback waiting = g_steal_pointer (&self->waiting);
  g_autofree char *reason = g_strcompress (w[2]);

  g_assert (waiting);
  waiting (VALUE_OF (w[1], pcd_outcome_to_string, 3), word_or_null (reason), self->waiting_data);
}

/* busy DONE TOTAL TEXT: likewise */
static void
do_busy (PcdEngine *self, char **w)
{
  g_autofree char *text = g_strcompress (w[3]);

  g_assert (self->waiting);
  self->waiting_progress (g_ascii_strtoull (w[1], NULL, 10), g_ascii_strtoull (w[2], NULL, 10),
                          text, self->waiting_data);
}

static void
do_remove (PcdEngine *self, char **w)
{
  PcdRole role = VALUE_OF (w[2], pcd_role_to_string, 2);
  Migration *m = find (self, w[1], role);

  g_ptr_array_remove (self->migrations, m);
  TELL (self, removed, w[1], role);
}

/* record KIND FROM TO DETAIL [UUID ROLE NAME], - for none */
static void
do_record (PcdEngine *self, char **w)
{
  PcdRecord *r = g_new0 (PcdRecord, 1);

  r->seq = ++self->seq;
  r->time = g_get_real_time ();
  r->monotonic = g_get_monotonic_time ();
  r->kind = VALUE_OF (w[1], pcd_record_kind_to_string, PCD_N_RECORDS);
  r->from = g_str_equal (w[2], "-") ? NULL : g_strdup (w[2]);
  r->to = g_str_equal (w[3], "-") ? NULL : g_strdup (w[3]);
  r->detail = g_str_equal (w[4], "-") ? NULL : g_strdup (w[4]);
  if (w[5]) {
    r->uuid = g_strdup (w[5]);
    r->role = VALUE_OF (w[6], pcd_role_to_string, 2);
    r->domain = g_strdup (w[7]);
  }
  g_ptr_array_add (self->records, r);
  TELL (self, record, r);
}

static void
do_connection (PcdEngine *self, gboolean connected, const char *reason)
{
  self->connected = connected;
  self->since = g_get_real_time ();
  g_free (self->reason);
  self->reason = g_strdup (reason);
  TELL (self, connection, connected);
}

/* Prints what was asked for since the last time, before the "ok". */
static void
do_orders (PcdEngine *self)
{
  printf ("%s", self->orders->str);
  g_string_truncate (self->orders, 0);
}

static void
obey (PcdEngine *self, const char *line)
{
  g_auto (GStrv) w = g_strsplit (line, " ", -1);
  guint n = g_strv_length (w);

  if (g_str_equal (w[0], "connected") && n == 1)
    do_connection (self, TRUE, "connected to the script");
  else if (g_str_equal (w[0], "disconnected"))
    do_connection (self, FALSE, line + strlen ("disconnected "));
  else if (g_str_equal (w[0], "migration") && n == 9)
    do_migration (self, w);
  else if (g_str_equal (w[0], "pid") && n == 4)
    do_pid (self, w);
  else if (g_str_equal (w[0], "socket") && n == 7)
    do_socket (self, w);
  else if (g_str_equal (w[0], "lost") && (n == 3 || n == 9))
    do_lost (self, w);
  else if (g_str_equal (w[0], "remove") && n == 3)
    do_remove (self, w);
  else if (g_str_equal (w[0], "record") && (n == 5 || n == 8))
    do_record (self, w);
  else if (g_str_equal (w[0], "ladder") && n == 13)
    do_ladder (self, w);
  else if (g_str_equal (w[0], "veto") && (n == 3 || n == 8))
    do_veto (self, w);
  else if (g_str_equal (w[0], "doing") && n == 6)
    do_doing (self, w);
  else if (g_str_equal (w[0], "progress") && (n == 4 || n == 7))
    do_progress (self, w);
  else if (g_str_equal (w[0], "answer") && n == 3)
    do_answer (self, w);
  else if (g_str_equal (w[0], "finish") && n == 3)
    do_finish (self, w);
  else if (g_str_equal (w[0], "busy") && n == 4)
    do_busy (self, w);
  else if (g_str_equal (w[0], "refuse") && n == 2)
    self->refuse = atoi (w[1]);
  else if (g_str_equal (w[0], "state") && n == 2)
    self->state_dir = g_strdup (w[1]);
  else if (g_str_equal (w[0], "orders") && n == 1)
    do_orders (self);
  else if (g_str_equal (w[0], "config") && n == 1)
    printf ("%" G_GINT64_FORMAT " ", self->config.network_timeout_usec);
  else
    g_error ("script: cannot read: %s", line);
  printf ("ok\n");
  fflush (stdout);
}

static void
on_line (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *line =
      g_data_input_stream_read_line_finish (G_DATA_INPUT_STREAM (source), result, NULL, &error);
  PcdEngine *self = data;

  if (!line)
    return;
  obey (self, line);
  g_data_input_stream_read_line_async (self->script, 0, self->cancellable, on_line, self);
}

PcdEngine *
pcd_engine_new (const PcdConfig *config, const char *uri)
{
  PcdEngine *self = g_new0 (PcdEngine, 1);
  g_autoptr (GInputStream) input = g_unix_input_stream_new (STDIN_FILENO, FALSE);

  self->listeners = g_ptr_array_new ();
  self->migrations = g_ptr_array_new_with_free_func (migration_free);
  self->records = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_record_free);
  self->config = pcd_config_copy (config);
  self->orders = g_string_new (NULL);
  self->refuse = -1;
  self->since = g_get_real_time ();
  self->reason = g_strdup ("not tried yet");
  self->script = g_data_input_stream_new (input);
  self->cancellable = g_cancellable_new ();
  g_data_input_stream_read_line_async (self->script, 0, self->cancellable, on_line, self);
  return self;
}

/* Its sinks are told of nothing. */
struct _PcdJournal *
pcd_engine_get_journal (PcdEngine *self)
{
  return NULL;
}

struct _PcdPlugins *
pcd_engine_get_plugins (PcdEngine *self)
{
  return NULL;
}

void
pcd_engine_free (PcdEngine *self)
{
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  g_object_unref (self->script);
  g_ptr_array_unref (self->listeners);
  g_ptr_array_unref (self->migrations);
  g_ptr_array_unref (self->records);
  g_free (self->state_dir);
  g_string_free (self->orders, TRUE);
  g_free (self->answer_reason);
  g_free (self->reason);
  pcd_config_clear (&self->config);
  g_free (self);
}

void
pcd_engine_add_listener (PcdEngine *self, const PcdListener *listener, gpointer data)
{
  g_ptr_array_add (self->listeners, (gpointer)listener);
  g_ptr_array_add (self->listeners, data);
}

gboolean
pcd_engine_enable_actions (PcdEngine *self,
                           const char *state_dir,
                           const char *policy_dir,
                           gboolean dry_run,
                           GError **error)
{
  return TRUE;
}

gboolean
pcd_engine_reload_policies (PcdEngine *self, const PcdConfig *config, GError **error)
{
  return TRUE;
}

void
pcd_engine_set_config (PcdEngine *self, const PcdConfig *config)
{
  pcd_config_clear (&self->config);
  self->config = pcd_config_copy (config);
}

gboolean
pcd_engine_is_connected (PcdEngine *self, gint64 *ret_since, const char **ret_reason)
{
  *ret_since = self->since;
  *ret_reason = self->reason;
  return self->connected;
}

void
pcd_engine_foreach (PcdEngine *self,
                    void (*func) (const PcdMigrationView *migration, gpointer data),
                    gpointer data)
{
  for (guint i = 0; i < self->migrations->len; i++)
    func (&((Migration *)g_ptr_array_index (self->migrations, i))->view, data);
}

GPtrArray *
pcd_engine_get_records (PcdEngine *self, guint64 after)
{
  GPtrArray *found = g_ptr_array_new ();

  for (guint i = 0; i < self->records->len; i++) {
    PcdRecord *r = g_ptr_array_index (self->records, i);
    if (r->seq > after)
      g_ptr_array_add (found, r);
  }
  return found;
}

void
pcd_engine_ask_progress (
    PcdEngine *self, const char *uuid, PcdRole role, PcdProgressCallback callback, gpointer data)
{
  const Migration *m = find (self, uuid, role);

  callback (&m->progress, m->problem, data);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  PcdEngine *self = data;

  g_string_append (self->orders, "cancelled; ");
}

gboolean
pcd_engine_order (PcdEngine *self,
                  const PcdOrder *order,
                  PcdOrderCallback callback,
                  gpointer data,
                  GError **error)
{
  g_autofree char *params = pcd_params_to_string (order->params, order->action);

  if (!find (self, order->uuid, order->role)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "no migration of domain %s is known here",
                 order->uuid);
    return FALSE;
  }
  g_string_append_printf (self->orders, "%s %s%s%s address=%s who=%s with %s; ",
                          pcd_action_to_string (order->action), pcd_role_to_string (order->role),
                          order->force ? " force" : "", order->dry_run ? " dry-run" : "",
                          order->address ?: "-", order->who, params);
  if (self->outcome >= 0) {
    callback (self->outcome, self->answer_reason, data);
    return TRUE;
  }
  g_assert (!self->waiting);
  self->waiting = callback;
  self->waiting_progress = order->progress;
  g_signal_connect (order->cancellable, "cancelled", G_CALLBACK (on_cancelled), self);
  self->waiting_data = data;
  return TRUE;
}

static gboolean
accept (PcdEngine *self, GError **error)
{
  if (self->refuse < 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, self->refuse, "the script says no");
  self->refuse = -1;
  return FALSE;
}

const char *
pcd_engine_get_state_dir (const PcdEngine *self)
{
  return self->state_dir ?: "/nonexistent";
}

gint64
pcd_engine_get_incident (
    PcdEngine *self, const char *uuid, PcdRole role, const char **ret_state_dir, GError **error)
{
  *ret_state_dir = self->state_dir ?: "/nonexistent";
  return 7;
}

gboolean
pcd_engine_hold (
    PcdEngine *self, const char *uuid, PcdRole role, gboolean held, const char *who, GError **error)
{
  g_string_append_printf (self->orders, "held=%d %s %s who=%s; ", held, uuid,
                          pcd_role_to_string (role), who);
  return accept (self, error);
}

gboolean
pcd_engine_set_policy (PcdEngine *self,
                       const char *uuid,
                       PcdRole role,
                       const char *name,
                       const char *who,
                       GError **error)
{
  g_string_append_printf (self->orders, "policy=%s %s %s who=%s; ", name ?: "-", uuid,
                          pcd_role_to_string (role), who);
  return accept (self, error);
}
