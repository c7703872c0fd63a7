/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a record reaches the journal: level, MESSAGE_ID, fields. */
#include "engine/pcd-log.h"

#define UUID "11111111-2222-3333-4444-555555555555"

static GHashTable *caught;
static GLogLevelFlags caught_level;

static GLogWriterOutput catch (GLogLevelFlags level,
                               const GLogField *fields,
                               gsize n_fields,
                               gpointer data)
{
  caught_level = level;
  g_hash_table_remove_all (caught);
  for (gsize i = 0; i < n_fields; i++)
    g_hash_table_insert (caught, g_strdup (fields[i].key), g_strdup (fields[i].value));
  return G_LOG_WRITER_HANDLED;
}

static const char *
field (const char *name)
{
  return g_hash_table_lookup (caught, name);
}

static void
test_levels (void)
{
  static const struct {
    PcdRecordKind kind;
    const char *to;
    GLogLevelFlags level;
    const char *id;
  } rows[] = {
    { PCD_RECORD_PHASE, "precopy", G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_PHASE },
    { PCD_RECORD_PHASE, "paused", G_LOG_LEVEL_WARNING, PCD_MESSAGE_PHASE },
    { PCD_RECORD_PHASE, "failed", G_LOG_LEVEL_WARNING, PCD_MESSAGE_PHASE },
    { PCD_RECORD_PHASE, "gone", G_LOG_LEVEL_WARNING, PCD_MESSAGE_PHASE },
    { PCD_RECORD_PHASE, "completed", G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_PHASE },
    { PCD_RECORD_PHASE, NULL, G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_PHASE },
    { PCD_RECORD_FLOW, "slow", G_LOG_LEVEL_INFO, PCD_MESSAGE_FLOW },
    { PCD_RECORD_FLOW, "stalled", G_LOG_LEVEL_WARNING, PCD_MESSAGE_FLOW },
    { PCD_RECORD_CAUSE, "network", G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_CAUSE },
    { PCD_RECORD_UNATTENDED, "yes", G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_UNATTENDED },
    { PCD_RECORD_ARMED, NULL, G_LOG_LEVEL_INFO, PCD_MESSAGE_ARMED },
    { PCD_RECORD_BLOCKED, "1", G_LOG_LEVEL_INFO, PCD_MESSAGE_BLOCKED },
    { PCD_RECORD_SHUTDOWN, NULL, G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_SHUTDOWN },
    { PCD_RECORD_LIBVIRT, "connected", G_LOG_LEVEL_MESSAGE, PCD_MESSAGE_LIBVIRT },
    { PCD_RECORD_LIBVIRT, "disconnected", G_LOG_LEVEL_WARNING, PCD_MESSAGE_LIBVIRT },
    { PCD_RECORD_UNKNOWN, NULL, G_LOG_LEVEL_WARNING, PCD_MESSAGE_UNKNOWN },
    { PCD_N_RECORDS, NULL, G_LOG_LEVEL_INFO, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const PcdRecord record = { .kind = rows[i].kind, .to = (char *)rows[i].to };

    pcd_log_record (&record);
    g_assert_cmpuint (caught_level, ==, rows[i].level);
    g_assert_cmpstr (field ("MESSAGE_ID"), ==, rows[i].id);
    g_assert_cmpstr (field ("PRIORITY"), ==,
                     rows[i].level == G_LOG_LEVEL_WARNING   ? "4"
                     : rows[i].level == G_LOG_LEVEL_MESSAGE ? "5"
                                                            : "6");
  }
}

static void
test_fields (void)
{
  static const struct {
    PcdRecordKind kind;
    const char *state; /* the field that has the new word */
  } rows[] = {
    { PCD_RECORD_PHASE, "PCD_PHASE" },
    { PCD_RECORD_FLOW, "PCD_FLOW" },
    { PCD_RECORD_CAUSE, "PCD_CAUSE" },
    { PCD_RECORD_BLOCKED, NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const PcdRecord record = { 7,
                               0,
                               0,
                               rows[i].kind,
                               (char *)UUID,
                               (char *)"g",
                               PCD_ROLE_DESTINATION,
                               (char *)"old",
                               (char *)"new",
                               (char *)"why" };

    pcd_log_record (&record);
    g_assert_cmpstr (field ("PCD_SEQ"), ==, "7");
    g_assert_cmpstr (field ("PCD_KIND"), ==, pcd_record_kind_to_string (rows[i].kind));
    g_assert_cmpstr (field ("PCD_DOMAIN_UUID"), ==, UUID);
    g_assert_cmpstr (field ("PCD_DOMAIN"), ==, "g");
    g_assert_cmpstr (field ("PCD_ROLE"), ==, "destination");
    g_assert_cmpstr (field ("PCD_FROM"), ==, "old");
    g_assert_cmpstr (field ("PCD_TO"), ==, "new");
    g_assert_cmpstr (field ("PCD_DETAIL"), ==, "why");
    g_assert_true (g_str_has_suffix (field ("MESSAGE"), "(destination): old -> new: why"));
    if (rows[i].state)
      g_assert_cmpstr (field (rows[i].state), ==, "new");
    g_assert_cmpuint (g_hash_table_size (caught), ==, rows[i].state ? 13 : 12);
  }
}

/* A record about no domain has no field of one, not an empty one. */
static void
test_no_domain (void)
{
  const PcdRecord record = { .seq = 1, .kind = PCD_RECORD_LIBVIRT, .to = (char *)"connected" };

  pcd_log_record (&record);
  g_assert_null (field ("PCD_DOMAIN_UUID"));
  g_assert_null (field ("PCD_DOMAIN"));
  g_assert_null (field ("PCD_ROLE"));
  g_assert_null (field ("PCD_DETAIL"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  caught = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_log_set_writer_func (catch, NULL, NULL);
  g_test_add_func ("/log/levels", test_levels);
  g_test_add_func ("/log/fields", test_fields);
  g_test_add_func ("/log/no-domain", test_no_domain);
  int result = g_test_run ();
  g_hash_table_unref (caught);
  return result;
}
