/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client of QEMU's control monitor: every command has a deadline, nothing blocks the loop.
 * Must not know what the commands mean or when they are safe (that is core/pcd-qmp-safe.h). */
#pragma once

#include "qmp/pcd-qmp-message.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* A longer line is not QMP's: query-qmp-schema, the longest answer there is, has 210 KB. */
#define PCD_QMP_MAX_LINE (1u << 20)
/* QEMU's queue holds 8 commands (monitor-internal.h, QMP_REQ_QUEUE_LEN_MAX); when it is full QEMU
 * stops reading, out-of-band commands included. While the main loop hangs nothing leaves it. */
#define PCD_QMP_MAX_IN_BAND 6
#define PCD_QMP_MAX_PENDING 32

/**
 * PcdQmpError:
 * @PCD_QMP_ERROR_BUSY: another client holds the monitor, or too many commands are unanswered
 * @PCD_QMP_ERROR_TIMEOUT: no answer within the deadline; it may still be carried out
 * @PCD_QMP_ERROR_CLOSED: the connection ended (QEMU did, or this side closed it)
 * @PCD_QMP_ERROR_PROTOCOL: what came is not QMP
 * @PCD_QMP_ERROR_REFUSED: QEMU answered with an error; the message begins with its class
 * @PCD_QMP_ERROR_NO_OOB: out of band was not agreed on with this QEMU
 */
typedef enum {
  PCD_QMP_ERROR_BUSY,
  PCD_QMP_ERROR_TIMEOUT,
  PCD_QMP_ERROR_CLOSED,
  PCD_QMP_ERROR_PROTOCOL,
  PCD_QMP_ERROR_REFUSED,
  PCD_QMP_ERROR_NO_OOB,
} PcdQmpError;

#define PCD_QMP_ERROR (pcd_qmp_error_quark ())
GQuark pcd_qmp_error_quark (void);

typedef struct _PcdQmp PcdQmp;

/**
 * PcdQmpFlags:
 * @PCD_QMP_IN_BAND: QEMU's main loop answers
 * @PCD_QMP_OOB: QEMU's monitor thread answers, also while the main loop hangs; only
 *   `migrate-pause`, `migrate-recover`, `yank` and `query-yank`
 */
typedef enum {
  PCD_QMP_IN_BAND = 0,
  PCD_QMP_OOB = 1 << 0,
} PcdQmpFlags;

/**
 * PcdQmpListener:
 * @event: (nullable): an event came; @data may be %NULL; @time is microseconds since the epoch by
 *   QEMU's clock, or 0
 * @closed: (nullable): the connection ended by itself; called once, not for pcd_qmp_close()
 *
 * Both are called from the main context of the connection; they may close and unref, they must not
 * wait in a loop of their own.
 */
typedef struct {
  void (*event) (PcdQmp *qmp, const char *name, JsonObject *data, gint64 time, gpointer user_data);
  void (*closed) (PcdQmp *qmp, const GError *why, gpointer user_data);
} PcdQmpListener;

/**
 * pcd_qmp_connect_async:
 * @path: a pty (see pcd_monitor_find()) or a unix socket
 * @deadline_ms: for the whole handshake. A pty needs more than 1 s: QEMU looks once a second
 *   whether somebody opened it
 * @listener: (nullable): static storage; %NULL for no interest
 * @user_data: for the listener
 * @cancellable: (nullable): cancels the handshake
 * @callback: called when OOB is agreed on (or refused by QEMU: see pcd_qmp_has_oob())
 * @callback_data: for it
 *
 * Opens the monitor and shakes hands. Do this while all is well and keep the connection: a QEMU
 * whose main loop hangs cannot shake hands, but does answer a connection that has OOB already.
 * QEMU serves one client at a time: a socket's second client waits for a greeting for ever, which
 * the deadline turns into %PCD_QMP_ERROR_BUSY; on a pty a lock does. Belongs to the caller's
 * thread-default main context from then on.
 */
void pcd_qmp_connect_async (const char *path,
                            guint deadline_ms,
                            const PcdQmpListener *listener,
                            gpointer user_data,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer callback_data);

/**
 * pcd_qmp_adopt_async:
 * @fd: a connection that has shaken hands before, with OOB; taken, closed on failure too
 *
 * For a daemon that was restarted and got the descriptor back from its service manager (see
 * pcd_qmp_get_fd()): works also while QEMU's main loop hangs. Answers to the former owner's
 * commands are discarded. The other parameters are those of pcd_qmp_connect_async(), its finish
 * function as well.
 */
void pcd_qmp_adopt_async (int fd,
                          guint deadline_ms,
                          const PcdQmpListener *listener,
                          gpointer user_data,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer callback_data);

/**
 * pcd_qmp_connect_finish:
 *
 * Returns: (transfer full): the connection, or %NULL with @error set: #PcdQmpError, or #GIOError
 *   for what open() and connect() say and for cancellation
 */
PcdQmp *pcd_qmp_connect_finish (GAsyncResult *result, GError **error);

PcdQmp *pcd_qmp_ref (PcdQmp *qmp);
/* The last unref closes. */
void pcd_qmp_unref (PcdQmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdQmp, pcd_qmp_unref)

/**
 * pcd_qmp_execute_async:
 * @qmp: a connection
 * @command: a command's name
 * @arguments: (nullable): its arguments; see pcd_qmp_arguments()
 * @flags: in band or out of band
 * @deadline_ms: how long to wait for the answer; must not be 0
 * @cancellable: (nullable): stops waiting; like a deadline it does not take the command back
 *
 * Hold a reference while you wait. A late answer is discarded. A command whose answer was given up
 * still takes one of QEMU's places until the answer comes; when %PCD_QMP_MAX_IN_BAND are taken,
 * more are refused at once, so that the way stays open for out-of-band commands.
 */
void pcd_qmp_execute_async (PcdQmp *qmp,
                            const char *command,
                            JsonObject *arguments,
                            PcdQmpFlags flags,
                            guint deadline_ms,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer callback_data);

/**
 * pcd_qmp_execute_finish:
 *
 * Returns: (transfer full): the value that the command returned, often an empty object; %NULL with
 *   @error set: #PcdQmpError or %G_IO_ERROR_CANCELLED
 */
JsonNode *pcd_qmp_execute_finish (GAsyncResult *result, GError **error);

/**
 * pcd_qmp_close:
 *
 * Ends the connection; commands that wait get %PCD_QMP_ERROR_CLOSED. May be called again.
 */
void pcd_qmp_close (PcdQmp *qmp);

gboolean pcd_qmp_is_open (PcdQmp *qmp);
gboolean pcd_qmp_has_oob (PcdQmp *qmp);

/* How many lines were discarded: not JSON, not QMP, or an answer that nobody waits for. */
guint64 pcd_qmp_get_discarded (PcdQmp *qmp);

/**
 * pcd_qmp_get_fd:
 *
 * Returns: the descriptor, still owned by @qmp, for the service manager's store; -1 when closed
 */
int pcd_qmp_get_fd (PcdQmp *qmp);

G_END_DECLS
