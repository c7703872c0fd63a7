/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a report about threads means as a whole: the two verdicts, and the sentence for people.
 * Must not read anything. */
#include "host/pcd-threads.h"

#include "core/pcd-json.h"

#include <glib/gi18n.h>

static PcdAnswer
all_threads (const PcdThreadReport *report, gboolean kickable, const PcdThread **ret_first)
{
  const PcdThread *first = NULL;
  PcdAnswer all = PCD_ANSWER_YES;

  for (guint i = 0; i < report->threads->len; i++) {
    const PcdThread *thread = report->threads->pdata[i];
    PcdAnswer one = kickable ? thread->class.kickable : thread->class.traceable;
    PcdAnswer sum = pcd_answer_all (all, one);
    if (sum != all)
      first = thread;
    all = sum;
  }
  if (ret_first)
    *ret_first = first;
  return all;
}

static guint
count_vcpus (const PcdThreadReport *report)
{
  guint n = 0;

  for (guint i = 0; i < report->threads->len; i++)
    n += ((const PcdThread *)report->threads->pdata[i])->class.is_vcpu ? 1 : 0;
  return n;
}

PcdAnswer
pcd_thread_report_kickable (const PcdThreadReport *report, const PcdThread **ret_first)
{
  PcdAnswer all = all_threads (report, TRUE, ret_first);

  if (report->n_vcpus > (int)count_vcpus (report))
    all = pcd_answer_all (all, PCD_ANSWER_UNKNOWN);
  return all;
}

PcdAnswer
pcd_thread_report_traceable (const PcdThreadReport *report, const PcdThread **ret_first)
{
  return all_threads (report, FALSE, ret_first);
}

static guint
count_blocked (const PcdThreadReport *report, gboolean vcpus, PcdFaultPath path)
{
  guint n = 0;

  for (guint i = 0; i < report->threads->len; i++) {
    const PcdThread *thread = report->threads->pdata[i];
    if (thread->class.blocked == PCD_ANSWER_YES && thread->class.path == path &&
        thread->class.is_vcpu == vcpus)
      n++;
  }
  return n;
}

static void
add_blocked (const PcdThreadReport *report, GString *text)
{
  guint n_vcpus = MAX (count_vcpus (report), (guint)MAX (report->n_vcpus, 0));
  const char *comma = "";

  for (PcdFaultPath path = 0; path < PCD_N_FAULT_PATHS; path++) {
    guint n_vcpu = count_blocked (report, TRUE, path),
          n_other = count_blocked (report, FALSE, path);
    const char *on = pcd_fault_path_to_string (path);
    if (n_vcpu > 0) {
      g_string_append (text, comma);
      /* TRANSLATORS: how many, of how many, and a word such as kernel-side-copy */
      g_string_append_printf (text,
                              ngettext ("%u of %u vCPUs waits for a missing page on the %s path",
                                        "%u of %u vCPUs wait for a missing page on the %s path",
                                        n_vcpu),
                              n_vcpu, n_vcpus, on);
      comma = ", ";
    }
    if (n_other > 0) {
      g_string_append (text, comma);
      g_string_append_printf (text,
                              ngettext ("%u other thread waits for a missing page on the %s path",
                                        "%u other threads wait for a missing page on the %s path",
                                        n_other),
                              n_other, on);
      comma = ", ";
    }
  }
  if (!*comma)
    g_string_append (text, _ ("No thread is known to wait for a missing page"));
}

static void
add_verdict (GString *text, PcdAnswer stop, PcdAnswer trace)
{
  /* TRANSLATORS: clauses behind a colon, such as ": QMP stop would hang, gdb would get through." */
  static const char *const both[PCD_N_ANSWERS] = {
    [PCD_ANSWER_NO] = N_ ("QMP stop and gdb would hang"),
    [PCD_ANSWER_YES] = N_ ("QMP stop and gdb would get through"),
    [PCD_ANSWER_UNKNOWN] = N_ ("QMP stop and gdb might hang"),
  };
  static const char *const stops[PCD_N_ANSWERS] = {
    [PCD_ANSWER_NO] = N_ ("QMP stop would hang"),
    [PCD_ANSWER_YES] = N_ ("QMP stop would get through"),
    [PCD_ANSWER_UNKNOWN] = N_ ("QMP stop might hang"),
  };
  static const char *const traces[PCD_N_ANSWERS] = {
    [PCD_ANSWER_NO] = N_ ("gdb would hang"),
    [PCD_ANSWER_YES] = N_ ("gdb would get through"),
    [PCD_ANSWER_UNKNOWN] = N_ ("gdb might hang"),
  };

  if (stop == trace)
    g_string_append_printf (text, ": %s.", _ (both[stop]));
  else
    g_string_append_printf (text, ": %s, %s.", _ (stops[stop]), _ (traces[trace]));
}

static void
add_unknown (const PcdThreadReport *report, GString *text)
{
  const char *reason = NULL;
  guint n = 0;

  for (guint i = 0; i < report->threads->len; i++) {
    const PcdThread *thread = report->threads->pdata[i];
    if (thread->class.blocked != PCD_ANSWER_UNKNOWN && thread->class.path != PCD_FAULT_PATH_UNKNOWN)
      continue;
    reason = reason ? reason : thread->class.reason;
    n++;
  }
  if (n > 0)
    g_string_append_printf (text, _ (" %u of %u threads could not be judged in full: %s."), n,
                            report->threads->len, reason);
  if (report->n_vcpus > (int)count_vcpus (report))
    g_string_append_printf (text, _ (" KVM has %d vCPUs, but only %u were matched to a thread."),
                            report->n_vcpus, count_vcpus (report));
}

char *
pcd_thread_report_summary (const PcdThreadReport *report)
{
  g_autoptr (GString) text = g_string_new (NULL);

  add_blocked (report, text);
  add_verdict (text, pcd_thread_report_kickable (report, NULL),
               pcd_thread_report_traceable (report, NULL));
  add_unknown (report, text);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_number (JsonBuilder *json, const char *key, gint64 number)
{
  json_builder_set_member_name (json, key);
  if (number >= 0)
    json_builder_add_int_value (json, number);
  else
    json_builder_add_null_value (json);
}

static void
add_thread (JsonBuilder *json, const PcdThread *thread)
{
  const PcdThreadClass *class = &thread->class;
  const char state[] = { thread->state, '\0' };

  json_builder_begin_object (json);
  add_number (json, "tid", thread->tid);
  pcd_json_add_string (json, "name", thread->name);
  add_number (json, "vcpu", class->vcpu);
  pcd_json_add_boolean (json, "vcpu-disputed", class->vcpu_disputed);
  pcd_json_add_string (json, "state", state);
  pcd_json_add_string (json, "blocked", pcd_answer_to_string (class->blocked));
  add_number (json, "blocked-usec", thread->blocked_usec);
  add_number (json, "blocked-usec-at-least", thread->blocked_min_usec);
  pcd_json_add_string (json, "path", pcd_fault_path_to_string (class->path));
  pcd_json_add_boolean (json, "spinning", class->spinning);
  pcd_json_add_string (json, "kickable", pcd_answer_to_string (class->kickable));
  pcd_json_add_string (json, "traceable", pcd_answer_to_string (class->traceable));
  pcd_json_add_string (json, "reason", class->reason);
  pcd_json_add_string (json, "wchan", thread->wchan);
  json_builder_end_object (json);
}

JsonNode *
pcd_thread_report_to_json (const PcdThreadReport *report)
{
  g_autoptr (JsonBuilder) json = json_builder_new ();
  g_autofree char *summary = pcd_thread_report_summary (report);

  json_builder_begin_object (json);
  add_number (json, "pid", report->pid);
  json_builder_set_member_name (json, "threads");
  json_builder_begin_array (json);
  for (guint i = 0; i < report->threads->len; i++)
    add_thread (json, report->threads->pdata[i]);
  json_builder_end_array (json);
  pcd_json_add_string (json, "kickable",
                       pcd_answer_to_string (pcd_thread_report_kickable (report, NULL)));
  pcd_json_add_string (json, "traceable",
                       pcd_answer_to_string (pcd_thread_report_traceable (report, NULL)));
  add_number (json, "vcpus", report->n_vcpus);
  json_builder_set_member_name (json, "missing-privileges");
  json_builder_begin_array (json);
  if (report->no_ptrace)
    json_builder_add_string_value (json, "CAP_SYS_PTRACE");
  if (report->no_stack)
    json_builder_add_string_value (json, "CAP_SYS_ADMIN");
  json_builder_end_array (json);
  pcd_json_add_string (json, "summary", summary);
  json_builder_end_object (json);
  return json_builder_get_root (json);
}
