/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line of QMP, read and written. QEMU may be in a guest's hands: nothing of it is trusted.
 * Pure: no I/O, no clock. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* json-glib 1.6 recurses without a limit; QMP's own answers nest less than ten deep. */
#define PCD_QMP_MAX_DEPTH 64

/**
 * PcdQmpMessageKind:
 * @PCD_QMP_GREETING: the first line of a connection
 * @PCD_QMP_EVENT: something happened
 * @PCD_QMP_RETURN: a command was carried out
 * @PCD_QMP_FAULT: a command was refused
 */
typedef enum {
  PCD_QMP_GREETING,
  PCD_QMP_EVENT,
  PCD_QMP_RETURN,
  PCD_QMP_FAULT,
} PcdQmpMessageKind;

/**
 * PcdQmpMessage:
 * @kind: what it is
 * @has_oob: greeting: whether OOB is offered
 * @id: (nullable): return, fault: the command's id; %NULL if it had none or not one of ours
 * @name: event: its name. Fault: the error's class
 * @text: (nullable): fault: what QEMU says
 * @time: event: microseconds since the epoch by QEMU's clock, 0 if it did not say
 * @value: (nullable): event: its data. Return: the value
 */
typedef struct {
  PcdQmpMessageKind kind;
  gboolean has_oob;
  char *id;
  char *name;
  char *text;
  gint64 time;
  JsonNode *value;
} PcdQmpMessage;

void pcd_qmp_message_free (PcdQmpMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdQmpMessage, pcd_qmp_message_free)

/**
 * pcd_qmp_message_parse:
 * @line: bytes without the newline; need not be NUL-terminated
 * @length: how many
 *
 * Returns: (transfer full) (nullable): the message; %NULL for whatever is not one
 */
PcdQmpMessage *pcd_qmp_message_parse (const char *line, gsize length);

/**
 * pcd_qmp_command_to_string:
 * @command: a command's name
 * @arguments: (nullable): its arguments
 * @id: the id to be answered with
 * @oob: whether to send it out of band
 *
 * Returns: (transfer full): the line, newline included
 */
char *pcd_qmp_command_to_string (const char *command,
                                 JsonObject *arguments,
                                 const char *id,
                                 gboolean oob);

/**
 * pcd_qmp_arguments:
 * @key: first argument's name
 * @...: its string value, then more pairs, then %NULL
 *
 * Returns: (transfer full): for pcd_qmp_execute_async()
 */
JsonObject *pcd_qmp_arguments (const char *key, ...) G_GNUC_NULL_TERMINATED;

/**
 * pcd_qmp_yank_migration:
 *
 * Returns: (transfer full): `yank`'s arguments for the migration connection
 */
JsonObject *pcd_qmp_yank_migration (void);

G_END_DECLS
