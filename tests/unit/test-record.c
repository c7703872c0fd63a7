/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The JSON of a record is a promise: these are its very bytes. */
#include "core/pcd-record.h"

#include <string.h>

#define UUID "11111111-2222-3333-4444-555555555555"
/* 2026-11-22 15:00:01.123456 UTC */
#define TIME      G_GINT64_CONSTANT (1795359601123456)
#define JSON_HEAD "{\"seq\":7,\"time\":\"2026-11-22T15:00:01.123456Z\",\"monotonic-usec\":99,"
#define TEXT_HEAD "2026-11-22 15:00:01.123+0000: "

static const struct {
  PcdRecord record;
  const char *json;
  const char *text;
} rows[] = {
  { { 7, TIME, 99, PCD_RECORD_PHASE, (char *)UUID, (char *)"g", PCD_ROLE_SOURCE, (char *)"postcopy",
      (char *)"paused", (char *)"QEMU says postcopy-paused" },
    JSON_HEAD "\"kind\":\"phase\",\"uuid\":\"" UUID "\",\"domain\":\"g\",\"role\":\"source\","
              "\"from\":\"postcopy\",\"to\":\"paused\",\"detail\":\"QEMU says postcopy-paused\"}",
    TEXT_HEAD "event 'phase' for domain 'g' (source): postcopy -> paused: "
              "QEMU says postcopy-paused" },
  { { 7, TIME, 99, PCD_RECORD_ARMED, (char *)UUID, (char *)"g", PCD_ROLE_DESTINATION, NULL, NULL,
      (char *)"a:1 <- b:2" },
    JSON_HEAD "\"kind\":\"armed\",\"uuid\":\"" UUID "\",\"domain\":\"g\",\"role\":\"destination\","
              "\"detail\":\"a:1 <- b:2\"}",
    TEXT_HEAD "event 'armed' for domain 'g' (destination): a:1 <- b:2" },
  { { 7, TIME, 99, PCD_RECORD_LIBVIRT, NULL, NULL, PCD_ROLE_SOURCE, NULL, (char *)"connected",
      NULL },
    JSON_HEAD "\"kind\":\"libvirt\",\"to\":\"connected\"}",
    TEXT_HEAD "event 'libvirt': connected" },
  { { 7, TIME, 99, PCD_RECORD_UNKNOWN, (char *)UUID, NULL, PCD_ROLE_SOURCE, NULL, NULL, NULL },
    JSON_HEAD "\"kind\":\"unknown\",\"uuid\":\"" UUID "\",\"role\":\"source\"}",
    TEXT_HEAD "event 'unknown' for domain '" UUID "' (source)" },
  /* Hostile names: no second line, no terminal codes, always UTF-8. */
  { { 7, TIME, 99, PCD_RECORD_FLOW, (char *)UUID, (char *)"a\"\n\033[2J", PCD_ROLE_SOURCE, NULL,
      (char *)"slow", (char *)"\xff" },
    JSON_HEAD "\"kind\":\"flow\",\"uuid\":\"" UUID "\",\"domain\":\"a\\\"\\n\\u001b[2J\","
              "\"role\":\"source\",\"to\":\"slow\",\"detail\":\"\xef\xbf\xbd\"}",
    TEXT_HEAD "event 'flow' for domain 'a\"??[2J' (source): slow: \xef\xbf\xbd" },
};

static void
test_json_and_text (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *json = pcd_record_to_json (&rows[i].record);
    g_autofree char *text = pcd_record_to_text (&rows[i].record);

    g_assert_cmpstr (json, ==, rows[i].json);
    g_assert_cmpstr (text, ==, rows[i].text);
  }
}

static void
test_round_trip (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (PcdRecord) record = pcd_record_from_json (rows[i].json, &error);

    g_assert_no_error (error);
    g_autofree char *json = pcd_record_to_json (record);
    g_assert_cmpstr (json, ==, rows[i].json);
  }
}

/* No microsecond is lost to floating point on the way. */
static void
test_time_round_trip (void)
{
  for (guint i = 0; i < 2000; i++) {
    PcdRecord in = { .kind = PCD_RECORD_LIBVIRT,
                     .time = TIME + g_test_rand_int_range (0, 1 << 30) };
    g_autofree char *json = pcd_record_to_json (&in);
    g_autoptr (PcdRecord) out = pcd_record_from_json (json, NULL);

    g_assert_cmpint (out->time, ==, in.time);
  }
}

static void
test_bad_json (void)
{
  static const char *const lines[] = {
    "",
    "x",
    "[]",
    "1",
    "{}",
    "{\"kind\":\"phase\"}",
    "{\"time\":\"2026-11-22T15:00:01.123456Z\"}",
    "{\"time\":\"yesterday\",\"kind\":\"phase\"}",
    "{\"time\":7,\"kind\":\"phase\"}",
    "{\"time\":\"2026-11-22T15:00:01.123456Z\",\"kind\":{}}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (pcd_record_from_json (lines[i], &error));
    g_assert_nonnull (error);
    g_assert_null (pcd_record_from_json (lines[i], NULL));
  }
}

/* A newer daemon may say more than this version knows. */
static void
test_newer (void)
{
  g_autoptr (PcdRecord) record =
      pcd_record_from_json (JSON_HEAD "\"kind\":\"warp\",\"to\":5,\"new\":[1]}", NULL);

  g_assert_nonnull (record);
  g_assert_cmpint (record->kind, ==, PCD_N_RECORDS);
  g_autofree char *text = pcd_record_to_text (record);
  g_assert_cmpstr (text, ==, TEXT_HEAD "event '?'");
}

static void
test_kind_words (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < PCD_N_RECORDS; i++)
    g_assert_true (g_hash_table_add (seen, (gpointer)pcd_record_kind_to_string (i)));
  g_assert_cmpstr (pcd_record_kind_to_string (PCD_N_RECORDS), ==, "?");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/record/json-and-text", test_json_and_text);
  g_test_add_func ("/record/round-trip", test_round_trip);
  g_test_add_func ("/record/time-round-trip", test_time_round_trip);
  g_test_add_func ("/record/bad-json", test_bad_json);
  g_test_add_func ("/record/newer", test_newer);
  g_test_add_func ("/record/kind-words", test_kind_words);
  return g_test_run ();
}
