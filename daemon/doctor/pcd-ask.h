/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks libvirts who they are, all at once, each in a process of its own that can be killed:
 * libvirt's connect has no deadline. Knows no judgement. */
#pragma once

#include "doctor/pcd-facts.h"

G_BEGIN_DECLS

/* The hidden option of `postcopyctl doctor` that makes it the process that asks. */
#define PCD_ASK_OPTION "ask-libvirt"

/* A libvirt that answers at all does so in well under a second; ssh may take one or two. */
#define PCD_ASK_DEADLINE_MSEC 6000

/**
 * pcd_ask_all:
 * @uris: (array zero-terminated=1)
 * @answers: as many; filled in
 * @news: (nullable): told whose answer is awaited
 *
 * Runs the default main context until all have answered or the deadline is over. A process that
 * asks is a session of its own, so that no ssh can ask for a password on the terminal; it is killed
 * with all that it started.
 */
void pcd_ask_all (const char *const *uris, PcdAnswer **answers, PcdFactsNews news, gpointer data);

/**
 * pcd_ask_one:
 *
 * The process that asks: knocks, connects, and prints the answer for pcd_ask_parse ().
 */
void pcd_ask_one (const char *uri);

/* Pure. Lines `key=value`, escaped as by g_strescape (). */
void pcd_ask_parse (const char *text, PcdAnswer *answer);

G_END_DECLS
