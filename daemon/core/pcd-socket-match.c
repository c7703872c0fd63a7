/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which TCP sockets of a QEMU carry its migration: threads first, then what is left.
 * Pure; must not know how sockets and threads are looked at. */
#include "core/pcd-socket-match.h"

#include <string.h>

#include "core/pcd-net.h"

/* QEMU's main loop and iothreads only ever poll; VNC, NBD, chardevs and monitors live there. A
 * migration in postcopy has threads of its own that sleep in recvmsg() on the very socket: on the
 * source the return path thread, on the destination the listen thread (and one for the preempt
 * channel). They sleep so because QEMU makes the channel blocking for postcopy; after a recovery
 * some versions leave it non-blocking, and the thread polls that one descriptor instead
 * (migration/qemu-file.c, qio_channel_wait()). Other libraries in the process (Ceph's messenger)
 * have reader threads too, so an unknown name counts only if no thread has a migration name. */

/* Less than this is a handshake or a console, not a guest's memory. */
#define BULK_BYTES (1024 * 1024)
#define BULK_RATIO 4

gboolean
pcd_socket_thread_is_migration (const char *comm)
{
  static const char *const names[] = { "live_migration", "return path", "postcopy/listen",
                                       "postcopy/fault", "fault-fast",  "multifdsend_",
                                       "multifdrecv_",   "mig/src/",    "mig/dst/" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_has_prefix (comm, names[i]))
      return TRUE;
  return FALSE;
}

/* vCPUs, iothreads and the main thread never wait on a migration socket. */
static gboolean
can_be_evidence (const PcdThreadWait *wait)
{
  return !wait->is_main && !g_str_has_prefix (wait->comm, "CPU ") &&
         !g_str_has_prefix (wait->comm, "IO ");
}

static gboolean
endpoint_covers (const PcdEndpoint *known, const PcdEndpoint *is)
{
  gboolean any = known->address[0] == '\0' || g_str_equal (known->address, "0.0.0.0") ||
                 g_str_equal (known->address, "::");

  return (any || g_str_equal (known->address, is->address)) &&
         (known->port == 0 || known->port == is->port);
}

static gboolean
endpoint_equal (const PcdEndpoint *a, const PcdEndpoint *b)
{
  return a->port == b->port && g_str_equal (a->address, b->address);
}

static const PcdSocketExclusion *
find_exclusion (const PcdSocketMatchInput *in, const PcdSocketCandidate *c)
{
  for (gsize i = 0; i < in->n_exclusions; i++) {
    const PcdSocketExclusion *x = &in->exclusions[i];

    if (endpoint_covers (&x->endpoint, x->remote ? &c->peer : &c->local))
      return x;
  }
  return NULL;
}

/* A named thread that reads or writes, else one that polls, else one with an unknown name. */
static const PcdThreadWait *
find_wait (const PcdSocketMatchInput *in, int fd, gboolean named)
{
  for (gsize i = 0; i < in->n_waits; i++) {
    const PcdThreadWait *w = &in->waits[i];

    if (w->fd == fd && can_be_evidence (w) && pcd_socket_thread_is_migration (w->comm) == named)
      return w;
  }
  return NULL;
}

static gboolean
carries_bulk (const PcdSocketCandidate *c, PcdRole role)
{
  guint64 forth = role == PCD_ROLE_SOURCE ? c->sent : c->received;
  guint64 back = role == PCD_ROLE_SOURCE ? c->received : c->sent;

  return forth >= BULK_BYTES && forth / BULK_RATIO >= back;
}

static void
set (PcdSocketMatch *m, PcdSocketHow how, const char *format, const char *what)
{
  m->how = how;
  g_strlcpy (m->reason, format, sizeof m->reason);
  if (what) {
    g_strlcat (m->reason, " ", sizeof m->reason);
    g_strlcat (m->reason, what, sizeof m->reason);
  }
}

static gboolean
sort_out (const PcdSocketMatchInput *in, gsize i, PcdSocketMatch *m)
{
  const PcdSocketExclusion *x = find_exclusion (in, &in->candidates[i]);

  if (x)
    set (m, PCD_SOCKET_NO, "known from the domain as", x->what ? x->what : "something else");
  else if (in->candidates[i].state != PCD_TCP_ESTABLISHED)
    set (m, PCD_SOCKET_NO, "not an established connection", NULL);
  else
    set (m, PCD_SOCKET_NO, "no migration thread waits on it", NULL);
  return !x && in->candidates[i].state == PCD_TCP_ESTABLISHED;
}

static gsize
match_threads (const PcdSocketMatchInput *in,
               const gboolean *eligible,
               gboolean named,
               PcdSocketMatch *m)
{
  gsize n = 0;

  for (gsize i = 0; i < in->n_candidates; i++) {
    const PcdThreadWait *w = eligible[i] ? find_wait (in, in->candidates[i].fd, named) : NULL;

    if (!w)
      continue;
    /* A stranger must also have moved a guest's memory in the right direction. */
    if (!named && !carries_bulk (&in->candidates[i], in->role))
      continue;
    set (&m[i], PCD_SOCKET_BY_THREAD,
         w->polling ? "polled by thread" : "thread sleeps on it:", w->comm);
    n++;
  }
  return n;
}

/* The preempt channel on the source (only ever written to) and idle multifd channels: same hosts,
 * same migration port. Only migration channels connect to that port. */
static gsize
match_siblings (const PcdSocketMatchInput *in, const gboolean *eligible, PcdSocketMatch *m)
{
  gsize n = 0;

  for (gsize i = 0; i < in->n_candidates; i++) {
    const PcdSocketCandidate *c = &in->candidates[i];

    for (gsize j = 0; eligible[i] && m[i].how == PCD_SOCKET_NO && j < in->n_candidates; j++) {
      const PcdSocketCandidate *d = &in->candidates[j];
      gboolean same = in->role == PCD_ROLE_SOURCE
                          ? endpoint_equal (&c->peer, &d->peer) &&
                                g_str_equal (c->local.address, d->local.address)
                          : endpoint_equal (&c->local, &d->local) &&
                                g_str_equal (c->peer.address, d->peer.address);

      if (m[j].how != PCD_SOCKET_BY_THREAD || !same)
        continue;
      set (&m[i], PCD_SOCKET_BY_SIBLING, "a further channel of the same migration", NULL);
      n++;
    }
  }
  return n;
}

static gsize
match_rest (const PcdSocketMatchInput *in, const gboolean *eligible, PcdSocketMatch *m)
{
  gsize n = 0, last = 0;

  for (gsize i = 0; i < in->n_candidates; i++)
    if (eligible[i] && carries_bulk (&in->candidates[i], in->role)) {
      last = i;
      n++;
    }
  if (n == 1)
    set (&m[last], PCD_SOCKET_BY_ELIMINATION, "the only connection that carried memory", NULL);
  for (gsize i = 0; n > 1 && i < in->n_candidates; i++)
    if (eligible[i] && carries_bulk (&in->candidates[i], in->role))
      set (&m[i], PCD_SOCKET_NO, "one of several that it could be", NULL);
  return n == 1;
}

gsize
pcd_socket_match (const PcdSocketMatchInput *input, PcdSocketMatch *ret_matches)
{
  g_autofree gboolean *eligible = g_new0 (gboolean, input->n_candidates + 1);
  gboolean names = FALSE;
  gsize n;

  memset (ret_matches, 0, input->n_candidates * sizeof *ret_matches);
  for (gsize i = 0; i < input->n_candidates; i++)
    eligible[i] = sort_out (input, i, &ret_matches[i]);
  for (gsize i = 0; i < input->n_waits; i++)
    names |= pcd_socket_thread_is_migration (input->waits[i].comm);
  n = match_threads (input, eligible, TRUE, ret_matches);
  if (n == 0 && !names) {
    n = match_threads (input, eligible, FALSE, ret_matches);
    /* Two strangers on connections that are not even siblings: one of them is wrong. */
    for (gsize i = 0; n > 1 && i < input->n_candidates; i++)
      if (ret_matches[i].how == PCD_SOCKET_BY_THREAD)
        set (&ret_matches[i], PCD_SOCKET_NO, "one of several with unknown threads", NULL);
    n = n == 1;
  }
  if (n > 0)
    return n + match_siblings (input, eligible, ret_matches);
  return input->eliminate ? match_rest (input, eligible, ret_matches) : 0;
}
