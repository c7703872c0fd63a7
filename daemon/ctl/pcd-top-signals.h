/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals that a full screen has to do with, told on the main loop: the terminal must not be
 * touched from a handler, nor be left behind as it is. Must not know what is shown. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * PcdTopSignal:
 * @PCD_TOP_SIGNAL_END: HUP, INT, QUIT, TERM
 * @PCD_TOP_SIGNAL_RESIZE: WINCH; a storm of them is told once
 * @PCD_TOP_SIGNAL_STOP: TSTP (Ctrl-Z): give the terminal back, then pcd_top_signals_stop_here ()
 * @PCD_TOP_SIGNAL_CONTINUE: CONT: others may have written on the terminal
 */
typedef enum {
  PCD_TOP_SIGNAL_END,
  PCD_TOP_SIGNAL_RESIZE,
  PCD_TOP_SIGNAL_STOP,
  PCD_TOP_SIGNAL_CONTINUE,
} PcdTopSignal;

typedef struct _PcdTopSignals PcdTopSignals;

/* There can be one at a time. @told: called from the default main context. */
PcdTopSignals *pcd_top_signals_new (void (*told) (PcdTopSignal signal, gpointer data),
                                    gpointer data);
/* What the signals did before, they do again. */
void pcd_top_signals_free (PcdTopSignals *signals);

/* Stops this process as its shell expects. Returns once it has been continued. */
void pcd_top_signals_stop_here (PcdTopSignals *signals);

G_END_DECLS
