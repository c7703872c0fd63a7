/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt and QEMU that answer what they should not, or nothing: what is said of it then. libvirt
 * is its own test driver, which has no QEMU behind it. */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <unistd.h>

#include "debug/pcd-debug-file.h"
#include "debug/pcd-gdb-process.h"
#include "host/pcd-freezer.h"
#include "libvirt/pcd-domain-policy.h"
#include "libvirt/pcd-invite.h"
#include "libvirt/pcd-lookup.h"
#include "libvirt/pcd-own-call.h"
#include "libvirt/pcd-peer.h"
#include "libvirt/pcd-recover.h"
#include "libvirt/pcd-vir-qmp.h"
#include "libvirt/pcd-vir.h"
#include "snapshot/pcd-ram-layout.h"

#define TEST_URI   "test:///default"
#define TEST_UUID  "6695eb01-f6a4-8304-79aa-97f2502e193f" /* of its only domain */
#define OTHER_UUID "00000000-0000-4000-8000-000000000000"
#define NO_URI     "test:///nonexistent"

/* ---- libvirt ---- */

static void
test_no_reason (void)
{
  g_autoptr (GError) error = NULL;

  virResetLastError ();
  pcd_vir_set_error (&error, "virConnectOpen");
  g_assert_cmpstr (error->message, ==, "virConnectOpen: failed without a reason");
}

static void
test_no_status (void)
{
  static const struct {
    const char *json, *words;
  } rows[] = {
    { NULL, "no JSON" },
    { "[]", "expected an object with a status: []" },
    { "7", "expected an object with a status: 7" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *word = NULL;

    g_assert_false (pcd_vir_status_from_json (rows[i].json, NULL, &word, &error));
    g_assert_cmpstr (error->message, ==, rows[i].words);
  }
}

static void
test_no_qemu (void)
{
  g_autoptr (virConnect) connection = virConnectOpen (TEST_URI);
  g_autoptr (virDomain) domain = virDomainLookupByUUIDString (connection, TEST_UUID);
  g_autoptr (GError) error = NULL;
  g_autofree char *word = NULL;

  g_assert_nonnull (domain);
  pcd_vir_qmp_query_migrate (domain, &word, &error);
  g_assert_true (g_str_has_prefix (error->message, "query-migrate: virDomainQemuMonitorCommand: "));
}

static void
test_recover (void)
{
  static const struct {
    const char *uri, *uuid;
    PcdOutcome outcome;
    const char *words;
  } rows[] = {
    { NO_URI, TEST_UUID, PCD_OUTCOME_FAILED, "libvirt here: " },
    { TEST_URI, OTHER_UUID, PCD_OUTCOME_REFUSED, "the domain does not run on the source any more" },
    { TEST_URI, TEST_UUID, PCD_OUTCOME_FAILED, "query-migrate: " },
  };
  g_autoptr (GPtrArray) routes = g_ptr_array_new ();

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const PcdRecoverRequest request = { .uri = rows[i].uri,
                                        .uuid = rows[i].uuid,
                                        .routes = routes };
    g_autofree char *reason = NULL;

    g_assert_cmpint (pcd_recover_run (&request, &reason), ==, rows[i].outcome);
    g_test_message ("%s", reason);
    g_assert_true (g_str_has_prefix (reason, rows[i].words));
  }
}

static void
test_invite (void)
{
  static const struct {
    const char *uri, *words;
  } rows[] = {
    { NO_URI, "127.0.0.1: the source's libvirt: " },
    { TEST_URI, "query-migrate: " },
  };
  PcdRoute route = { .address = (char *)"127.0.0.1" };
  g_autoptr (GPtrArray) routes = g_ptr_array_new ();

  g_ptr_array_add (routes, &route);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const PcdInviteRequest request = { .uuid = TEST_UUID,
                                       .routes = routes,
                                       .deadline = g_get_monotonic_time () + G_TIME_SPAN_MINUTE };
    g_autofree char *reason = NULL;

    route.libvirt_uri = (char *)rows[i].uri;
    g_assert_cmpint (pcd_invite_run (&request, &reason), ==, PCD_OUTCOME_FAILED);
    g_test_message ("%s", reason);
    g_assert_true (g_str_has_prefix (reason, rows[i].words));
  }
}

/* One that takes the connection and says nothing; the threads that wait for it are left behind. */
static void
test_silent (void)
{
  g_autofree char *dir = g_dir_make_tmp ("pcd-odd-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "silent", NULL);
  g_autofree char *uri = g_strdup_printf ("qemu+unix:///system?socket=%s", path);
  g_autofree char *uuid = NULL, *name = NULL;
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GSocket) socket =
      g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (g_socket_bind (socket, address, FALSE, &error) &&
                 g_socket_listen (socket, &error));
  g_assert_false (pcd_domain_policy_set (uri, "test", "recover", 100000, &error));
  g_assert_cmpstr (error->message, ==,
                   "libvirt did not answer within 0.1 s; a domain that migrates cannot be written");
  g_clear_error (&error);
  g_assert_false (pcd_lookup_domain (uri, "test", 100000, &uuid, &name, &error));
  g_assert_cmpstr (error->message, ==, "libvirt did not answer within 0.1 s");
  g_clear_error (&error);
  g_assert_false (pcd_own_call_destroy (uri, TEST_UUID, g_get_monotonic_time () + 100000, &error));
  g_assert_cmpstr (error->message, ==, "libvirt did not answer in time");
  unlink (path);
  rmdir (dir);
}

/* ---- QEMU ---- */

static char *
answer (const char *line, gpointer data, GError **error)
{
  return g_strdup (g_str_equal (line, "info mtree -f") ? data : "");
}

static void
test_layout (void)
{
  static const struct {
    const char *mtree, *words;
  } rows[] = {
    { "FlatView #0\n", "QEMU's answer about its RAM: info mtree -f shows no RAM" },
    { "FlatView #0\n AS \"memory\", root: system\n"
      "  0000000000100000-000000000009ffff (prio 0, ram): pc.ram KVM\n",
      "QEMU's answer about its RAM: info mtree -f" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (pcd_ram_layout_ask (answer, (gpointer)rows[i].mtree, &error));
    g_assert_cmpstr (error->message, ==, rows[i].words);
  }
}

static void
test_not_mapped (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PcdGuestMemory) memory = pcd_guest_memory_open (getpid (), &error);
  g_autoptr (JsonNode) json =
      json_from_string ("{\"blocks\":[{\"name\":\"r\",\"size\":4096}]}", NULL);
  g_autoptr (PcdRamLayout) layout = pcd_ram_layout_from_json (json_node_get_object (json), &error);

  g_assert_no_error (error);
  g_assert_false (pcd_ram_layout_locate (layout, memory, &error));
  g_assert_cmpstr (error->message, ==,
                   "QEMU's answer about its RAM: a block is not mapped where it says");
}

/* This process has no vCPU. */
static void
test_no_vcpus (void)
{
  g_autoptr (GError) error = NULL;
  PcdFreezeReport report;

  g_assert_false (pcd_freezer_freeze (
      getpid (), NULL, NULL, g_get_monotonic_time () + G_TIME_SPAN_MINUTE, &report, &error));
  g_assert_nonnull (strstr (error->message, " was matched to a thread (0 of 1)"));
}

static void
test_debug_of_nothing (void)
{
  g_autofree char *dir = g_dir_make_tmp ("pcd-odd-XXXXXX", NULL);
  g_autofree char *path = NULL, *name = NULL, *folder = g_build_filename (dir, "debug", NULL);
  g_autofree char *endless = g_strnfill (200, 'x');
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (pcd_debug_socket_listen (dir, 3, endless, &path, &error), ==, -1);
  g_assert_nonnull (strstr (error->message, "cannot listen at "));
  g_clear_error (&error);
  g_assert_cmpint (pcd_debug_file_open_last (dir, 3, &name, &error), ==, -1);
  g_assert_true (g_str_has_suffix (error->message, "/debug has nothing of incident 3"));
  g_clear_error (&error);
  g_assert_null (pcd_gdb_process_new (999999999, NULL, &error));
  g_assert_cmpstr (error->message, ==, "process 999999999: No such process");
  rmdir (folder);
  rmdir (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (virInitialize (), ==, 0);
  pcd_vir_init ();
  g_test_add_func ("/odd-answers/no-reason", test_no_reason);
  g_test_add_func ("/odd-answers/no-status", test_no_status);
  g_test_add_func ("/odd-answers/no-qemu", test_no_qemu);
  g_test_add_func ("/odd-answers/recover", test_recover);
  g_test_add_func ("/odd-answers/invite", test_invite);
  g_test_add_func ("/odd-answers/silent", test_silent);
  g_test_add_func ("/odd-answers/layout", test_layout);
  g_test_add_func ("/odd-answers/no-vcpus", test_no_vcpus);
  if (geteuid () == 0) {
    g_test_add_func ("/odd-answers/not-mapped", test_not_mapped);
    g_test_add_func ("/odd-answers/debug-of-nothing", test_debug_of_nothing);
  }
  return g_test_run ();
}
