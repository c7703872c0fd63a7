/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lets a person's gdb look at something for a while, by a socket for root only.
 * Must not know what it looks at. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PcdGdbSession PcdGdbSession;

/**
 * PcdGdbServe: talks to the client, until it is to be let go.
 */
typedef void (*PcdGdbServe) (PcdGdbSession *session);

/**
 * PcdGdbTarget: what is looked at. All of it in the session's thread.
 * @features: the answer to `qSupported`
 * @refuses: returns (transfer full) (nullable) why it may not be held now
 * @hold: calls @serve while it is held, and lets it go after that, however that ends
 * @answer: the answer to a packet that only reads; nothing is "not supported"
 * @is_gone: asked a few times a second while it is held, and while it is not
 * @free: of the data
 */
typedef struct {
  const char *features;
  char *(*refuses) (gpointer data);
  gboolean (*hold) (gpointer data, PcdGdbServe serve, PcdGdbSession *session, GError **error);
  void (*answer) (gpointer data, const GString *packet, GString *answer);
  gboolean (*is_gone) (gpointer data);
  void (*free) (gpointer data);
} PcdGdbTarget;

/**
 * PcdGdbTerms:
 * @state_dir: the daemon's own
 * @incident: to which it belongs
 * @mode: part of the names
 * @until: moment in g_get_monotonic_time() at which it ends
 * @idle_usec: it ends if no client says anything for so long
 */
typedef struct {
  const char *state_dir;
  gint64 incident;
  const char *mode;
  gint64 until;
  gint64 idle_usec;
} PcdGdbTerms;

/**
 * pcd_gdb_session_start:
 * @log_fd: gets a line for whatever happens; duplicated
 * @target: static
 * @data: for it; taken, also on failure
 * @ret_path: (out) (transfer full): the socket, see pcd_debug_socket_listen()
 *
 * One client at a time, of our own user only. When one connects, and when it interrupts what it let
 * go on, the target is asked whether it may be held, and held; when it detaches, goes away, kills,
 * says nothing for @idle_usec, or the time is over, it is let go as it was. `continue` lets it go,
 * too, until the client interrupts it. Nothing is changed by a client: writing, stepping and
 * breakpoints are refused.
 *
 * Returns: %FALSE if there is no socket. The session runs in a thread of its own, and ends with it;
 *   the socket's file goes then
 */
gboolean pcd_gdb_session_start (const PcdGdbTerms *terms,
                                int log_fd,
                                const PcdGdbTarget *target,
                                gpointer data,
                                char **ret_path,
                                GError **error);

G_END_DECLS
