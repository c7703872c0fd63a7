/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One round of questions to libvirt about some or all domains, asked in a worker thread.
 * Must not know why it is asked, nor keep anything between rounds. */
#pragma once

#include "core/pcd-event.h"
#include "libvirt/pcd-vir-worker.h"
#include "libvirt/pcd-vir.h"

G_BEGIN_DECLS

/**
 * PcdWant: what is wanted of a domain; a set of bits.
 * @PCD_WANT_SEEN: its state, and QEMU's status if it is a source in post-copy
 * @PCD_WANT_STATUS: QEMU's status
 * @PCD_WANT_METADATA: what its metadata says to postcopyd; comes with %PCD_WANT_SEEN by itself for
 * a domain that is seen to migrate
 * @PCD_WANT_NO_WAIT: only what can be had without waiting for QEMU or for another job of the domain
 */
typedef enum {
  PCD_WANT_SEEN = 1 << 0,
  PCD_WANT_STATUS = 1 << 1,
  PCD_WANT_NO_WAIT = 1 << 2,
  PCD_WANT_METADATA = 1 << 3,
} PcdWant;

/**
 * PcdAnswer: what is known of one domain now.
 * @uuid: domain
 * @name: domain; "" if it is absent
 * @has_seen: whether the next four say anything
 * @seen: its state
 * @role_known: see #PcdDomainRef
 * @role: likewise
 * @raw: (nullable): numbers or errors, always set if @seen is unknown
 * @status_word: (nullable): QEMU's own word
 * @has_metadata: whether @metadata says anything; not so if it could not be read
 * @metadata: (nullable): the element of our namespace, as libvirt keeps it; %NULL: there is none
 */
typedef struct {
  char *uuid;
  char *name;
  gboolean has_seen;
  PcdSeen seen;
  gboolean role_known;
  PcdRole role;
  char *raw;
  char *status_word;
  gboolean has_metadata;
  char *metadata;
} PcdAnswer;

/**
 * PcdPass:
 * @wants: (element-type utf8 PcdWant): by UUID
 * @full: also %PCD_WANT_SEEN for every active domain
 * @no_wait: %PCD_WANT_NO_WAIT for everyone
 * @answers: (element-type PcdAnswer): the result
 * @error: (nullable): the connection is of no use any more
 */
typedef struct {
  virConnectPtr conn;
  char *uri;
  GHashTable *wants;
  gboolean full;
  gboolean no_wait;
  GPtrArray *answers;
  GError *error;
} PcdPass;

/**
 * pcd_pass_new:
 * @conn: (transfer full): for calls that do not wait: list, look-up, state
 * @uri: what to open for those that may (FACTS 3: five waiting calls stall a connection); opened
 *   when needed and closed at the end of the pass
 */
PcdPass *pcd_pass_new (virConnectPtr conn, const char *uri);
void pcd_pass_free (PcdPass *pass);

/**
 * pcd_pass_run: in a worker
 *
 * A call that can wait for QEMU is begun with the domain's UUID as its subject, all others without.
 */
void pcd_pass_run (PcdVirJob *job, PcdPass *pass);

G_END_DECLS
