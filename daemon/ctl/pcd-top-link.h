/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection to postcopyd that is made again for ever: bus or daemon may come and go.
 * Never blocks and prints nothing, for it is used under a full-screen display. */
#pragma once

#include "ctl/pcd-client.h"

G_BEGIN_DECLS

typedef struct _PcdTopLink PcdTopLink;

/**
 * PcdTopLinkUser: who is told, in the default main context.
 * @state: (transfer full): what the daemon tells; at most four times a second
 * @lost: there is no daemon, and why; may be told more than once
 */
typedef struct {
  void (*state) (PcdClientState *state, gpointer data);
  void (*lost) (const char *reason, gpointer data);
} PcdTopLinkUser;

/* @address: of the bus, see pcd_bus_resolve () */
PcdTopLink *pcd_top_link_new (const char *address, const PcdTopLinkUser *user, gpointer data);
void pcd_top_link_free (PcdTopLink *link);

/**
 * pcd_top_link_ask:
 * @question: its @arguments are consumed in any case
 * @answer: called once, unless the link is freed before
 * @data_free: frees @data in any case
 *
 * Returns: %FALSE if there is no daemon to ask; @answer is not called then
 */
gboolean pcd_top_link_ask (PcdTopLink *link,
                           const PcdClientQuestion *question,
                           PcdClientAnswer answer,
                           gpointer data,
                           GDestroyNotify data_free);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdTopLink, pcd_top_link_free)

G_END_DECLS
