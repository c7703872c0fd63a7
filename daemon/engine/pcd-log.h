/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How postcopyd logs: structured to journald, readable lines elsewhere; all MESSAGE_IDs.
 * Knows records, not where they come from. */
#pragma once

#include "core/pcd-record.h"
#include "engine/pcd-engine.h"

G_BEGIN_DECLS

/* Each has an entry in units/postcopyd.catalog. Never reuse or change one. */
#define PCD_MESSAGE_PHASE            "cc6726c7ba7d4823b43225fc8e5b60bf"
#define PCD_MESSAGE_FLOW             "c820a2e64d8b42cea737ea7102f2cb90"
#define PCD_MESSAGE_CAUSE            "3e6ecaca7cd941b285cb96ebd51e3af3"
#define PCD_MESSAGE_UNATTENDED       "8e92952590034c5ab48222a692e0f0ec"
#define PCD_MESSAGE_ARMED            "80e4055839ab41ec8637895fbf2cbbdd"
#define PCD_MESSAGE_BLOCKED          "e6ffd9647f714e4ca19f6684d399d644"
#define PCD_MESSAGE_SHUTDOWN         "adcc6f5ae65c46878abdaa8802a6737b"
#define PCD_MESSAGE_LIBVIRT          "c1aeffa9fc234e269cb087625808affb"
#define PCD_MESSAGE_ACTION           "9f2c9dc7cad5490192d123e3046023cc"
#define PCD_MESSAGE_POLICY           "4250cdb697d84cfba099643a0fcbe9fe"
#define PCD_MESSAGE_HOLD             "87463b7573ff427eaf8c85b4a75caaba"
#define PCD_MESSAGE_UNKNOWN          "e98b316ff99d4ebb99edf4363321b619"
#define PCD_MESSAGE_STARTED          "670c927915ef4e738cb25d9f50d08d44"
#define PCD_MESSAGE_STOPPED          "2b29537a0b994e4b91304e671e720730"
#define PCD_MESSAGE_LEFT_HELD        "3d7cded179634fff98736ad2373109a5"
#define PCD_MESSAGE_RELOADED         "eb566101188a453f980292406d82d3f0"
#define PCD_MESSAGE_RELOAD_REFUSED   "25570e88a58d40fa9921867cc5d841d4"
#define PCD_MESSAGE_BUS_LOST         "ad4b318235fb4b79b2e3137371e7eea1"
#define PCD_MESSAGE_BUS_FOUND        "3351da69e8a4472d9068ac2e650bfc8f"
#define PCD_MESSAGE_PLUGIN_REFUSED   "a0347ee063784851be2d7cc3f50caaf3"
#define PCD_MESSAGE_PLUGIN_DIED      "060f77986fbd4cd1a4b4a0311d6adafc"
#define PCD_MESSAGE_PLUGIN_SET_ASIDE "13966a1280244283828cbe2a87e9c2ce"
#define PCD_MESSAGE_SINK_FAILING     "0644f6dd4e4f415ab5c29206eff41c51"
#define PCD_MESSAGE_SINK_BACK        "964d6789a77f40e2936bf90df33fdf1f"
#define PCD_MESSAGE_SINK_STUCK       "ef2c224348654791a6b38d6bdfc83028"
#define PCD_MESSAGE_SINK_DROPPING    "155aa18f6ab64f9ca79aaf6ab1bd5c93"
#define PCD_MESSAGE_SINK_DROPPED     "24659c68db164649b5bd5e508c166a14"
#define PCD_MESSAGE_SINK_REFUSED     "a65bd2f5b58b4aa4b14e76c280f36039"
#define PCD_MESSAGE_HOOK_REFUSED     "a4ec80357d0c453eaafe6bc00605bb5d"
#define PCD_MESSAGE_HOOK_FAILED      "1b0e828d455b4505a6e708ec95e82189"
#define PCD_MESSAGE_VETO_REFUSED     "b0e3f0fa1d8e43e4b83510e30cc84eec"

/**
 * pcd_log_init:
 *
 * Sends this process's log to journald if stderr leads there, else to stderr as lines with a time
 * and a level. Once, before the first message.
 */
void pcd_log_init (void);

/**
 * pcd_log_level_of_record:
 *
 * Returns: warning for what a person should look at, message (notice) for what changes a
 *   migration's state, info for the rest
 */
GLogLevelFlags pcd_log_level_of_record (const PcdRecord *record);

/**
 * pcd_log_record:
 *
 * Logs @record with its MESSAGE_ID and the fields PCD_SEQ, PCD_KIND, PCD_DOMAIN_UUID, PCD_DOMAIN,
 * PCD_ROLE, PCD_FROM, PCD_TO, PCD_DETAIL, and PCD_PHASE, PCD_FLOW or PCD_CAUSE if that is what
 * changed.
 */
void pcd_log_record (const PcdRecord *record);

/* Logs every record; its data is unused. */
extern const PcdListener pcd_log_listener;

G_END_DECLS
