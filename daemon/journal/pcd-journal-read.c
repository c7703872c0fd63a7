/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Out of the database: what is open, for the daemon, and incidents as JSON, for people's tools. */
#include <glib/gi18n.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "journal/pcd-journal-file.h"
#include "journal/pcd-journal-write.h"

static char *
column_text (sqlite3_stmt *statement, int column)
{
  return g_strdup ((const char *)sqlite3_column_text (statement, column));
}

/* ---- what is open ---- */

typedef void (*RowFunc) (sqlite3_stmt *statement, gpointer data);

/* Calls @func for every row; @incident is bound to ?1 if the statement has it. */
static gboolean
for_rows (sqlite3 *db,
          const char *path,
          const char *sql,
          gint64 incident,
          RowFunc func,
          gpointer data,
          GError **error)
{
  g_autoptr (sqlite3_stmt) statement = NULL;
  int rc = sqlite3_prepare_v2 (db, sql, -1, &statement, NULL);

  if (rc == SQLITE_OK && sqlite3_bind_parameter_count (statement) > 0)
    rc = sqlite3_bind_int64 (statement, 1, incident);
  while (rc == SQLITE_OK || rc == SQLITE_ROW) {
    rc = sqlite3_step (statement);
    if (rc == SQLITE_ROW)
      func (statement, data);
  }
  return rc == SQLITE_DONE || pcd_journal_file_fail (db, rc, path, error);
}

static void
add_begin (sqlite3_stmt *statement, gpointer data)
{
  PcdJob *job = pcd_job_new (PCD_JOB_BEGIN, sqlite3_column_int64 (statement, 0),
                             sqlite3_column_int64 (statement, 5));
  g_autofree char *role = column_text (statement, 3);

  job->uuid = column_text (statement, 1);
  job->name = column_text (statement, 2);
  job->role = g_strcmp0 (role, "source") == 0 ? PCD_ROLE_SOURCE : PCD_ROLE_DESTINATION;
  job->boot = column_text (statement, 4);
  g_ptr_array_add (data, job);
  if (sqlite3_column_type (statement, 6) == SQLITE_NULL)
    return;
  PcdJob *ladder = pcd_job_new (PCD_JOB_LADDER, job->incident, 0);
  ladder->ladder = column_text (statement, 6);
  g_ptr_array_add (data, ladder);
}

static void
add_intent (sqlite3_stmt *statement, gpointer data)
{
  PcdJob *job = pcd_job_new (PCD_JOB_INTENT, sqlite3_column_int64 (statement, 0),
                             sqlite3_column_int64 (statement, 1));

  job->ticket = (guint64)sqlite3_column_int64 (statement, 2);
  job->name = column_text (statement, 3);
  job->text = column_text (statement, 4);
  g_ptr_array_add (data, job);
}

static void
add_flag (sqlite3_stmt *statement, gpointer data)
{
  PcdJob *job = pcd_job_new (PCD_JOB_FLAG, 0, 0);

  job->uuid = column_text (statement, 0);
  job->name = column_text (statement, 1);
  job->text = column_text (statement, 2);
  g_ptr_array_add (data, job);
}

GPtrArray *
pcd_journal_read_open (sqlite3 *db, const char *path, GError **error)
{
  g_autoptr (GPtrArray) incidents = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_job_unref);
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_job_unref);

  if (!for_rows (db, path,
                 "SELECT id, uuid, name, role, boot, began, ladder FROM incidents "
                 "WHERE ended IS NULL ORDER BY id",
                 0, add_begin, incidents, error))
    return NULL;
  for (guint i = 0; i < incidents->len; i++) {
    PcdJob *job = g_ptr_array_index (incidents, i);
    g_ptr_array_add (jobs, pcd_job_ref (job));
    if (job->kind == PCD_JOB_BEGIN &&
        !for_rows (db, path,
                   "SELECT i.incident, i.time, i.ticket, i.action, i.who FROM timeline AS i "
                   "WHERE i.incident = ?1 AND i.kind = 'intent' AND NOT EXISTS (SELECT 1 "
                   "FROM timeline AS r WHERE r.incident = i.incident AND r.ticket = i.ticket "
                   "AND r.kind = 'result') ORDER BY i.id",
                   job->incident, add_intent, jobs, error))
      return NULL;
  }
  if (!for_rows (db, path, "SELECT uuid, flag, value FROM flags", 0, add_flag, jobs, error))
    return NULL;
  return g_steal_pointer (&jobs);
}

/* ---- JSON ---- */

/* Absent rather than null or empty. */
static void
add_string (JsonBuilder *builder, const char *name, sqlite3_stmt *statement, int column)
{
  const char *text = (const char *)sqlite3_column_text (statement, column);

  if (!text)
    return;
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, valid);
}

static void
add_int (JsonBuilder *builder, const char *name, sqlite3_stmt *statement, int column)
{
  if (sqlite3_column_type (statement, column) == SQLITE_NULL)
    return;
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, sqlite3_column_int64 (statement, column));
}

static void
add_time (JsonBuilder *builder, const char *name, sqlite3_stmt *statement, int column)
{
  if (sqlite3_column_type (statement, column) == SQLITE_NULL)
    return;
  g_autofree char *time = pcd_time_to_rfc3339 (sqlite3_column_int64 (statement, column));
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, time);
}

#define INCIDENT                                                                                   \
  "SELECT id, uuid, name, role, began, ended, how, (SELECT count(*) FROM timeline "                \
  "WHERE incident = incidents.id AND kind = 'intent') FROM incidents "

/* Leaves the object open. */
static void
begin_incident (sqlite3_stmt *statement, JsonBuilder *builder)
{
  json_builder_begin_object (builder);
  add_int (builder, "id", statement, 0);
  add_string (builder, "uuid", statement, 1);
  add_string (builder, "domain", statement, 2);
  add_string (builder, "role", statement, 3);
  add_time (builder, "began", statement, 4);
  add_time (builder, "ended", statement, 5);
  add_string (builder, "how", statement, 6);
  add_int (builder, "actions", statement, 7);
}

static void
list_incident (sqlite3_stmt *statement, gpointer data)
{
  begin_incident (statement, data);
  json_builder_end_object (data);
}

JsonNode *
pcd_journal_list (const char *state_dir, guint most, GError **error)
{
  g_autofree char *path = g_build_filename (state_dir, PCD_JOURNAL_FILE, NULL);
  g_autoptr (sqlite3) db = pcd_journal_file_open_read (path, error);
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  if (!db)
    return NULL;
  json_builder_begin_array (builder);
  if (!for_rows (db, path, INCIDENT "ORDER BY id DESC LIMIT ?1", most ? (gint64)most : -1,
                 list_incident, builder, error))
    return NULL;
  json_builder_end_array (builder);
  return json_builder_get_root (builder);
}

static void
show_record (sqlite3_stmt *statement, JsonBuilder *builder)
{
  const char *text = (const char *)sqlite3_column_text (statement, 6);
  g_autoptr (JsonNode) record = text ? json_from_string (text, NULL) : NULL;

  if (!record || !JSON_NODE_HOLDS_OBJECT (record))
    return;
  json_builder_set_member_name (builder, "event");
  json_builder_add_value (builder, g_steal_pointer (&record));
}

static void
show_entry (sqlite3_stmt *statement, gpointer data)
{
  gboolean is_record = g_strcmp0 ((const char *)sqlite3_column_text (statement, 1), "record") == 0;

  json_builder_begin_object (data);
  add_time (data, "time", statement, 0);
  json_builder_set_member_name (data, "type");
  json_builder_add_string_value (
      data, is_record ? "event" : (const char *)sqlite3_column_text (statement, 1));
  add_int (data, "ticket", statement, 2);
  add_string (data, "action", statement, 3);
  add_string (data, "who", statement, 4);
  add_string (data, "outcome", statement, 5);
  if (is_record)
    show_record (statement, data);
  add_string (data, "reason", statement, 7);
  json_builder_end_object (data);
}

typedef struct {
  JsonBuilder *builder;
  gboolean found;
} Show;

static void
show_incident (sqlite3_stmt *statement, gpointer data)
{
  Show *show = data;

  show->found = TRUE;
  begin_incident (statement, show->builder);
}

JsonNode *
pcd_journal_show (const char *state_dir, gint64 incident, GError **error)
{
  g_autofree char *path = g_build_filename (state_dir, PCD_JOURNAL_FILE, NULL);
  g_autoptr (sqlite3) db = pcd_journal_file_open_read (path, error);
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  Show show = { builder, FALSE };

  if (!db || !for_rows (db, path, INCIDENT "WHERE id = ?1", incident, show_incident, &show, error))
    return NULL;
  if (!show.found) {
    g_set_error (
        error, PCD_JOURNAL_ERROR, PCD_JOURNAL_ERROR_NOT_FOUND,
        _ ("%s: no incident %" PRId64 ", expected one that 'postcopyctl incident list' shows"),
        path, incident);
    return NULL;
  }
  json_builder_set_member_name (builder, "timeline");
  json_builder_begin_array (builder);
  if (!for_rows (db, path,
                 "SELECT time, kind, ticket, action, who, outcome, record, reason FROM timeline "
                 "WHERE incident = ?1 ORDER BY id",
                 incident, show_entry, builder, error))
    return NULL;
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}
