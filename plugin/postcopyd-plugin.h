/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The C interface between postcopyd and its actions and sinks, built-in or not. Plain C,
 * append-only: what is here may be added to at the end of a struct, never moved. Still free to
 * change before 1.0. */
#ifndef POSTCOPYD_PLUGIN_H
#define POSTCOPYD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POSTCOPYD_ABI_MAJOR 0
#define POSTCOPYD_ABI_MINOR 1

/**
 * PostcopydOutcome:
 * @POSTCOPYD_DONE: done, or it was so already
 * @POSTCOPYD_REFUSED: not tried: it would not have been safe or possible
 * @POSTCOPYD_FAILED: tried, and did not work
 */
typedef enum {
  POSTCOPYD_DONE,
  POSTCOPYD_REFUSED,
  POSTCOPYD_FAILED,
} PostcopydOutcome;

/**
 * PostcopydParam: a parameter of the step, checked: as it would be written in a policy, durations
 * in microseconds.
 */
typedef struct {
  const char *name;
  const char *value;
} PostcopydParam;

/**
 * PostcopydMigration: the migration as it was when the action was started. Read-only, valid during
 * the call.
 * @struct_size: of the struct that the daemon fills: read nothing behind it
 * @uuid: domain UUID
 * @name: domain name
 * @role: "source" or "destination"
 * @phase: "postcopy", "paused" ...
 * @flow: "flowing", "slow", "stalled" or "none"
 * @cause: why it is paused: "network", "peer-closed", "operator", "unknown", or "none"
 * @pid: this side's QEMU, 0 if not found
 * @libvirt_uri: (nullable): this host's libvirt, %NULL for the default
 * @peer_address: (nullable): the other host's address on the last migration connection, without
 * port
 * @n_params: length of @params
 * @params: the step's parameters
 * @internal: for built-in actions
 */
typedef struct {
  uint32_t struct_size;
  const char *uuid;
  const char *name;
  const char *role;
  const char *phase;
  const char *flow;
  const char *cause;
  int32_t pid;
  const char *libvirt_uri;
  const char *peer_address;
  uint32_t n_params;
  const PostcopydParam *params;
  const void *internal;
} PostcopydMigration;

/**
 * PostcopydJob: the daemon's side of the call.
 * @struct_size: as above
 * @deadline_usec: CLOCK_MONOTONIC; past it nobody waits for the answer any more
 * @cancelled: whether the daemon wants the action to end soon; may be called from any thread
 * @progress: tells how far it is; @total 0 if not known, @text may be %NULL
 */
typedef struct _PostcopydJob PostcopydJob;
struct _PostcopydJob {
  uint32_t struct_size;
  int64_t deadline_usec;
  int (*cancelled) (const PostcopydJob *job);
  void (*progress) (const PostcopydJob *job, uint64_t done, uint64_t total, const char *text);
};

/**
 * PostcopydAction:
 * @struct_size: of this struct, as the plugin was compiled
 * @run: does it. Called in a thread of its own, which may be abandoned at the deadline; must not
 *   touch the daemon's main loop. @reason gets one clause for people, always set for refused and
 *   failed: what stood in the way, with names
 */
typedef struct {
  uint32_t struct_size;
  PostcopydOutcome (*run) (const PostcopydMigration *migration,
                           const PostcopydJob *job,
                           char *reason,
                           size_t reason_size);
} PostcopydAction;

/**
 * PostcopydNote: one thing that happened, to be told to a receiver.
 * @struct_size: as above
 * @id: unique for ever, over restarts and hosts; the same when it is delivered again: a receiver
 *   that keeps the ids it has seen has everything once
 * @stream: what is delivered in order: "UUID/ROLE" of a migration, "" for what is about no domain
 * @kind: as in `postcopyctl events`: "phase", "action" ...
 * @time_usec: since the epoch
 * @json: (not nullable): the whole of it, one JSON object without newlines, as `events --json`
 */
typedef struct {
  uint32_t struct_size;
  const char *id;
  const char *stream;
  const char *kind;
  int64_t time_usec;
  const char *json;
} PostcopydNote;

/**
 * PostcopydDelivery: what became of a batch. The daemon sets all but @struct_size to 0 before.
 * @struct_size: as above
 * @n_delivered: of the notes, from the first, that need not be brought again. Those behind it are,
 *   after a failure; a refusal is about the note at @n_delivered alone, which is dropped and
 * counted
 * @retry_after_usec: after a failure: not before this time has passed; 0 if the receiver did not
 * say
 */
typedef struct {
  uint32_t struct_size;
  uint32_t n_delivered;
  int64_t retry_after_usec;
} PostcopydDelivery;

/**
 * PostcopydSink:
 * @struct_size: of this struct, as the plugin was compiled
 * @max_batch: most notes in a call; 1 if it takes no batches
 * @deliver: brings @notes to the receiver, in their order. Called in a thread of the sink's own,
 *   one call at a time, which may be abandoned at the deadline. %POSTCOPYD_DONE: all are there;
 *   %POSTCOPYD_FAILED: try again later; %POSTCOPYD_REFUSED: one is never wanted. @reason gets one
 *   clause for people, and no secrets; always set unless done
 */
typedef struct {
  uint32_t struct_size;
  uint32_t max_batch;
  PostcopydOutcome (*deliver) (const PostcopydNote *const *notes,
                               uint32_t n_notes,
                               const PostcopydJob *job,
                               PostcopydDelivery *ret_delivery,
                               char *reason,
                               size_t reason_size);
} PostcopydSink;

/**
 * PostcopydPlugin: the data symbol `postcopyd_plugin` of a module. The first three members are read
 * before anything else of the module is used.
 * @kind: "action" or "sink"
 * @action: for "action", else %NULL
 * @sink: for "sink", else %NULL
 */
typedef struct {
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t struct_size;
  const char *name;
  const char *kind;
  const char *description;
  const PostcopydAction *action;
  const PostcopydSink *sink;
} PostcopydPlugin;

#ifdef __cplusplus
}
#endif

#endif
