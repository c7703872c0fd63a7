/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The source's half of a recovery past a destination whose QEMU hangs.
 *
 * libvirt must not be in a resume of its own then: when QEMU tells that it recovers, libvirt 9.0
 * takes the state "post-copy failed" back; a resume that fails after that ends in
 * qemuMigrationSrcPerformJob () as if the guest had never left: it tries to start it here
 * (qemuMigrationSrcRestoreDomainState ()) and ends the job, so that the source's QEMU is never
 * ended (seen: "paused (post-copy)" for good). Only QEMU's own state `finish-migrate` keeps the
 * guest from running twice, and that is gone when the migration completes. So first nobody resumes,
 * then QEMU connects; and the source's own daemon does it, as it knows its own attempts.
 */
#include "libvirt/pcd-recover-private.h"

#include <gio/gio.h>

#include "host/pcd-sockets.h"
#include "libvirt/pcd-vir-qmp.h"

/* The destination's libvirt answered at that address just now. */
#define CONNECT_USEC ((gint64)5 * G_USEC_PER_SEC)

typedef PcdRecoverAttempt Attempt;

/* QEMU 7.2 aborts (migrate_fd_connect (): assert (!s->cleanup_bh)) when a second connection of its
 * own comes about after the first has made it recover: never two on their way. */
static gboolean
is_connecting (Attempt *a)
{
  g_autoptr (PcdSockets) sockets = pcd_sockets_open (a->request->pid, NULL);
  gboolean connecting = TRUE;

  return !sockets || !pcd_sockets_is_connecting (sockets, &connecting, NULL) || connecting;
}

static const char *
why_not (Attempt *a)
{
  if (!g_str_equal (a->listens.address, a->route->address))
    return "the destination listens at another of its addresses, or one that is not known here";
  if (a->extra_flags & VIR_MIGRATE_TLS)
    return "the stream is encrypted, and a QEMU that hangs cannot shake hands";
  if (a->request->pid <= 0)
    return "QEMU's process is not known";
  return NULL;
}

/* Taking the invitation away is how one of two takes it. */
static gboolean
claim (Attempt *a, GError **error)
{
  g_autofree char *line = g_strdup_printf (
      "{\"execute\":\"chardev-remove\",\"arguments\":{\"id\":\"%s\"}}", a->invitation);
  g_autofree char *reply = pcd_vir_qmp (a->domain, line, error);

  return reply != NULL;
}

static gboolean
connect_now (Attempt *a, GError **error)
{
  g_autofree char *uri = pcd_invitation_to_uri (&a->listens);
  g_autofree char *line = g_strdup_printf (
      "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"%s\",\"resume\":true}}", uri);
  g_autofree char *reply = pcd_vir_qmp (a->domain, line, error);

  return reply != NULL;
}

gboolean
pcd_recover_accept (Attempt *a, char **ret_message)
{
  g_autoptr (GError) error = NULL;
  const char *no = why_not (a);

  if (!no && is_connecting (a))
    no = "QEMU is still connecting to where it was invited before";
  if (no) {
    *ret_message = g_strdup (no);
    return FALSE;
  }
  if (!pcd_recover_make_idle (a, ret_message))
    return FALSE;
  if (pcd_recover_must_end (a)) {
    *ret_message = g_strdup ("no time is left to take the destination's invitation");
    return FALSE;
  }
  if (!claim (a, &error) || !connect_now (a, &error)) {
    *ret_message = g_strdup_printf ("invited by the destination: %s", error->message);
    return FALSE;
  }
  for (gint64 until = g_get_monotonic_time () + CONNECT_USEC; g_get_monotonic_time () < until;) {
    const PcdRecoverSign sign = pcd_recover_look (a->domain);

    if (sign == PCD_RECOVER_BEGAN)
      return TRUE;
    if (sign == PCD_RECOVER_ENDED) {
      *ret_message =
          g_strdup ("the domain is gone since QEMU was told to connect: " PCD_RECOVER_ENDED_WORDS);
      return FALSE;
    }
    g_usleep (PCD_RECOVER_POLL_USEC);
  }
  *ret_message = g_strdup_printf ("QEMU does not reach %s port %u, where the destination listens",
                                  a->listens.address, a->listens.port);
  return FALSE;
}
