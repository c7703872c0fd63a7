/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of a connection, for the files it is made of and for nobody else. */
#pragma once

#include "qmp/pcd-qmp.h"

G_BEGIN_DECLS

struct _PcdQmp {
  grefcount refs;
  int fd;
  gboolean is_tty;
  gboolean has_oob;
  GMainContext *context;
  GSource *readable;
  GSource *writable;
  GByteArray *in;
  gsize scanned; /* so much of @in has no newline */
  GString *out;
  GHashTable *pending; /* id (owned by the value) -> Command */
  guint in_band;       /* unanswered ones, given up or not */
  char *prefix;
  guint64 next_id;
  guint64 discarded;
  const PcdQmpListener *listener;
  gpointer user_data;

  GTask *connecting; /* until the handshake is done */
  GSource *deadline;
  GSource *ungreeted;
  gboolean was_greeted;
  gboolean has_asked;
};

void pcd_qmp_source_clear (GSource **source);
/* (transfer full): @source itself. */
GSource *pcd_qmp_source_attach (PcdQmp *qmp, GSource *source, GSourceFunc function, gpointer data);

/* Begins to read @fd, which is its own now. */
PcdQmp *pcd_qmp_new (int fd, const PcdQmpListener *listener, gpointer user_data);

/* The connection is lost, or the handshake failed. @why: (transfer full) */
void pcd_qmp_fail (PcdQmp *qmp, GError *why);

/* pcd-qmp-connect.c: what answers a greeting. */
void pcd_qmp_ask_for_oob (PcdQmp *qmp, gboolean want_oob);

G_END_DECLS
