/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job first: its target cannot be removed before it. Each command looks at QEMU's threads. */
#include "snapshot/pcd-disk-clean.h"

#include "qmp/pcd-qmp-block.h"

#include <gio/gio.h>

#define ANSWER_USEC (3 * G_USEC_PER_SEC)
#define LOOK_USEC   (50 * 1000)
#define ROUND_USEC  (5 * G_USEC_PER_SEC)
#define GAP_USEC    (5 * G_USEC_PER_SEC)

static gint64
limit (gint64 until)
{
  return MIN (until, g_get_monotonic_time () + ANSWER_USEC);
}

/* Answered or not: the next look tells. */
static gboolean
say (PcdDiskLink *link, const char *command, JsonObject *arguments, gint64 until, GError **error)
{
  g_autoptr (JsonNode) answer = pcd_disk_link_call (link, command, arguments, limit (until), error);

  return answer != NULL;
}

/* @ret_left: how many were there. */
static gboolean
end_jobs (PcdDiskLink *link, gint64 until, guint *ret_left, GError **error)
{
  g_autoptr (JsonNode) answer = pcd_disk_link_call (link, "query-jobs", NULL, limit (until), error);
  g_autoptr (GPtrArray) jobs = answer ? pcd_qmp_block_jobs (answer) : NULL;

  if (!jobs)
    return FALSE;
  for (guint i = 0; i < jobs->len; i++) {
    const PcdQmpJob *job = jobs->pdata[i];

    if (!say (link, job->is_over ? "job-dismiss" : "job-cancel", pcd_qmp_block_job (job->id), until,
              error))
      return FALSE;
  }
  *ret_left = jobs->len;
  return TRUE;
}

static gboolean
remove_nodes (PcdDiskLink *link, gint64 until, GError **error)
{
  g_autoptr (JsonNode) answer =
      pcd_disk_link_call (link, "query-named-block-nodes", NULL, limit (until), error);
  g_autoptr (GPtrArray) nodes = answer ? pcd_qmp_block_nodes (answer) : NULL;

  if (!nodes)
    return FALSE;
  for (guint i = 0; i < nodes->len; i++)
    if (!say (link, "blockdev-del", pcd_qmp_block_node (nodes->pdata[i]), until, error))
      return FALSE;
  return TRUE;
}

gboolean
pcd_disk_clean (PcdDiskLink *link, gint64 until, GError **error)
{
  g_autoptr (GError) problem = NULL;
  guint n_left = 1;

  do {
    g_clear_error (&problem);
    if (!pcd_disk_link_is_alive (link))
      return TRUE;
    if (end_jobs (link, until, &n_left, &problem) && n_left == 0 &&
        remove_nodes (link, until, &problem))
      return TRUE;
    g_usleep (LOOK_USEC);
  } while (g_get_monotonic_time () < until);
  if (problem)
    g_propagate_error (error, g_steal_pointer (&problem));
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "%u jobs of QEMU do not end", n_left);
  return FALSE;
}

typedef struct {
  PcdDiskLink *link;
  PcdDiskServer *server;
  GPtrArray *images;
  gboolean was_dead; /* who served before @server */
} Later;

/* To cancel a job while its target is not connected fails the requests that wait for it, a guest's
 * write among them (nbd_cancel_in_flight ()). Each node connects by itself, after 1, 3, 7 s. */
static void
wait_for_nodes (const Later *later)
{
  const gint64 until = g_get_monotonic_time () + (PCD_DISK_DELAY_S + 2) * G_USEC_PER_SEC;

  while (later->server && g_get_monotonic_time () < until && pcd_disk_link_is_alive (later->link)) {
    g_autoptr (JsonNode) answer =
        pcd_disk_link_call (later->link, "query-named-block-nodes", NULL, limit (until), NULL);
    g_autoptr (GPtrArray) nodes = answer ? pcd_qmp_block_nodes (answer) : NULL;

    if (nodes && pcd_disk_server_get_n_served (later->server) >= nodes->len)
      return;
    g_usleep (LOOK_USEC);
  }
}

static gpointer
clean_in_thread (gpointer data)
{
  Later *later = data;

  if (later->was_dead)
    wait_for_nodes (later);
  /* The monitor has room for one: who watches the migration needs it more. */
  while (!pcd_disk_clean (later->link, g_get_monotonic_time () + ROUND_USEC, NULL)) {
    pcd_disk_link_release (later->link);
    g_usleep (GAP_USEC);
  }
  pcd_disk_link_free (later->link);
  pcd_disk_server_free (later->server);
  g_clear_pointer (&later->images, g_ptr_array_unref);
  g_free (later);
  return NULL;
}

static void
clean_later (PcdDiskLink *link, PcdDiskServer *server, GPtrArray *images, gboolean was_dead)
{
  Later *later = g_new0 (Later, 1);

  later->was_dead = was_dead;
  for (guint i = 0; images && i < images->len; i++)
    pcd_disk_image_abandon (images->pdata[i]);
  later->link = link;
  later->server = server;
  later->images = images;
  g_thread_unref (g_thread_new ("disk-clean", clean_in_thread, later));
}

void
pcd_disk_clean_later (PcdDiskLink *link, PcdDiskServer *server, GPtrArray *images)
{
  clean_later (link, server, images, FALSE);
}

void
pcd_disk_clean_after_death (pid_t pid, guint16 port, const char *name)
{
  g_autoptr (GError) error = NULL;
  PcdDiskServer *server = pcd_disk_server_new (pid, port, &error);

  if (!server)
    g_warning ("QEMU %d had its disks copied to port %u, which cannot be taken over: %s", (int)pid,
               port, error->message);
  clean_later (pcd_disk_link_new (pid, name, NULL), server, NULL, TRUE);
}
