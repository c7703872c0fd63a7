/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The C interface between postcopyd and its actions and sinks, built-in or not: plain C, nothing
 * but this file to include. postcopyd-plugin(7) tells how to write, build and configure one.
 *
 * Frozen at 1.0. Within major version 1:
 * - Structs grow at their end only; members keep their place, type and meaning for ever, and
 *   functions keep their arguments. PostcopydParam never grows: arrays of it are passed.
 * - A struct begins with `struct_size` (PostcopydPlugin: as its third word), set by the one who
 *   fills it. The other one reads nothing behind it: postcopyd takes what an older plugin lacks for
 *   0, a plugin looks with POSTCOPYD_HAS () at what came after the version that it must run on.
 * - So any minor version of the one works with any of the other. Another major version is refused.
 * - Words (phase, flow, cause, kind ...) and values of enums may become more. A plugin takes a word
 *   that it does not know for no word of its own: it does then what it does if nothing is known.
 *   postcopyd takes an outcome that it does not know for failed, and refuses a module with a flag
 *   that it does not know, as flags are promises to hold it to.
 *
 * All strings are UTF-8 and end with NUL. All times are microseconds. */
#ifndef POSTCOPYD_PLUGIN_H
#define POSTCOPYD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POSTCOPYD_ABI_MAJOR 1
#define POSTCOPYD_ABI_MINOR 0

/**
 * POSTCOPYD_HAS:
 * @pointer: to a struct that the daemon filled
 * @member: of it
 *
 * Whether the daemon that filled it knows @member. True of every member of 1.0.
 */
#define POSTCOPYD_HAS(pointer, member)                                                             \
  ((const char *)(&(pointer)->member + 1) <= (const char *)(pointer) + (pointer)->struct_size)

/**
 * PostcopydOutcome: how a call ended. 0 is done; what is not one of these counts as failed.
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
 * PostcopydLevel: of a line for the log, as syslog's priorities.
 */
typedef enum {
  POSTCOPYD_ERROR = 3,
  POSTCOPYD_WARNING = 4,
  POSTCOPYD_NOTICE = 5,
  POSTCOPYD_INFO = 6,
  POSTCOPYD_DEBUG = 7,
} PostcopydLevel;

/**
 * PostcopydParam: a name and a value, each not %NULL. Of a step's `with`: a string as it is, a
 * number and true or false as JSON writes them; a built-in action gets durations in microseconds.
 * Of the configuration: the line's text.
 */
typedef struct {
  const char *name;
  const char *value;
} PostcopydParam;

/**
 * POSTCOPYD_FORCED: an operator asked for it, with --force.
 */
#define POSTCOPYD_FORCED (1u << 0)

/**
 * POSTCOPYD_DESTROY_ALLOWED: this host's configuration has allow-destroy.
 */
#define POSTCOPYD_DESTROY_ALLOWED (1u << 1)

/**
 * PostcopydMigration: the migration as it was when the action was started. Everything in it is the
 * daemon's, read-only, and valid until the action returns, also when it was left behind.
 * @struct_size: of the struct that the daemon fills: read nothing behind it
 * @uuid: domain UUID, in lower case
 * @name: domain name
 * @role: this host's side: "source" or "destination"
 * @phase: "precopy", "device", "postcopy", "paused", "recovering", "completed", "failed" or "gone"
 * @flow: of phase postcopy "flowing", "slow" or "stalled", else "none"
 * @cause: why it is paused: "network", "peer-closed", "operator", "unknown", or "none"
 * @pid: this side's QEMU, 0 if not found
 * @libvirt_uri: (nullable): this host's libvirt, %NULL for the default
 * @peer_address: (nullable): the other host's address on the last migration connection, numeric,
 *   without port; %NULL if none was seen
 * @n_params: length of @params
 * @params: (array length=n_params): the step's parameters, in no order that means anything
 * @internal: (nullable): %NULL for a loaded module. What actions that are part of postcopyd have of
 *   it beside this struct: the control monitor of a QEMU, whose safe use needs the daemon's own
 *   knowledge of blocked threads, and the daemon's search for a way to the peer. Of no stable type
 * @incident: number of the incident in the journal, 0 if there is none
 * @peer_uri: (nullable): the other host's libvirt, as this host's libvirt would open it
 * @connection: (nullable): both ends of the last migration connection, the same text on both hosts
 * @phase_since_usec: CLOCK_MONOTONIC: when @phase began; 0 if not known
 * @flags: POSTCOPYD_FORCED, POSTCOPYD_DESTROY_ALLOWED; bits that are not known mean nothing
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
  int64_t incident;
  const char *peer_uri;
  const char *connection;
  int64_t phase_since_usec;
  uint32_t flags;
} PostcopydMigration;

/**
 * PostcopydJob: the daemon's side of a call. The struct and what it points to are the daemon's, and
 * valid until the call returns; its functions may be called in any thread till then, never later.
 * @struct_size: of the struct that the daemon fills: read nothing behind it
 * @deadline_usec: CLOCK_MONOTONIC; past it nobody waits for the answer any more
 * @cancelled: nonzero once the daemon wants the call to end soon: at the deadline, or as another
 *   action or an operator needs the place. An action that then leaves things as they were answers
 *   failed; one that is done all the same, done
 * @progress: (nullable): tells how far it is, for `postcopyctl status`; @total 0 if not known,
 * @text may be %NULL. May be called as often as one likes. Sinks have none
 * @cancel_fd: (nullable): a file descriptor that poll () finds readable once @cancelled says so;
 * the daemon's: not to be read nor closed. -1 if there is none, for want of descriptors
 * @log: (nullable): a line for the log, under the plugin's name; no secrets
 * @n_settings: length of @settings
 * @settings: (array length=n_settings): of an action the lines of its `[plugin NAME]`, of a sink
 *   those of its `[sink …]`, without postcopyd's own; as they are now: a reload changes them. They
 *   may be secrets
 * @directory: (nullable): a folder of the plugin's own, root's, mode 0700, that outlives the
 * daemon; the only place where a confined daemon lets it write. What is in it is the plugin's to
 * bound
 */
typedef struct _PostcopydJob PostcopydJob;
struct _PostcopydJob {
  uint32_t struct_size;
  int64_t deadline_usec;
  int (*cancelled) (const PostcopydJob *job);
  void (*progress) (const PostcopydJob *job, uint64_t done, uint64_t total, const char *text);
  int (*cancel_fd) (const PostcopydJob *job);
  void (*log) (const PostcopydJob *job, PostcopydLevel level, const char *text);
  uint32_t n_settings;
  const PostcopydParam *settings;
  const char *directory;
};

/**
 * PostcopydAction: what the module must have as long as the process lives, and never change.
 * @struct_size: of this struct, as the plugin was compiled
 * @run: does it. Called in a thread of its own, of several migrations at once; signals are blocked
 *   there. At the deadline the thread is left behind, and after some such the action is not called
 *   any more. Must not touch the daemon's main loop, its signal handlers, locale, working folder,
 *   environment or umask, nor end the process. @reason (@reason_size bytes, empty at first) gets
 * one clause for people: what stood in the way, with names; always set for refused and failed
 * @limit_usec: how long a call may take, up to 30 min; 0 is 10 s
 * @params: (nullable) (array zero-terminated=1): names that a step's `with` may have; others are
 *   errors of the policy. %NULL: any. The names first, factor, ceiling and attempts are postcopyd's
 * @settings: (nullable) (array zero-terminated=1): likewise of the lines of `[plugin NAME]`; path
 * is postcopyd's
 */
typedef struct {
  uint32_t struct_size;
  PostcopydOutcome (*run) (const PostcopydMigration *migration,
                           const PostcopydJob *job,
                           char *reason,
                           size_t reason_size);
  int64_t limit_usec;
  const char *const *params;
  const char *const *settings;
} PostcopydAction;

/**
 * PostcopydNote: one thing that happened, to be told to a receiver. The daemon's, read-only, valid
 * during the call.
 * @struct_size: of the struct that the daemon fills: read nothing behind it
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
 * @struct_size: of the struct that the daemon has: write nothing behind it
 * @n_delivered: of the notes, from the first, that need not be brought again. Those behind it are,
 *   after a failure; a refusal is about the note at @n_delivered alone, which is dropped and
 *   counted
 * @retry_after_usec: after a failure: not before this time has passed; 0 if the receiver did not
 *   say
 */
typedef struct {
  uint32_t struct_size;
  uint32_t n_delivered;
  int64_t retry_after_usec;
} PostcopydDelivery;

/**
 * PostcopydSink: what the module must have as long as the process lives, and never change.
 * @struct_size: of this struct, as the plugin was compiled
 * @max_batch: most notes in a call; 1 if it takes no batches; 0 is 1
 * @deliver: brings @notes to the receiver, in their order. Called in a thread of the sink's own,
 *   one call at a time, which may be left behind at the deadline; the rules of PostcopydAction.run
 *   hold. %POSTCOPYD_DONE: all are there; %POSTCOPYD_FAILED: try again later; %POSTCOPYD_REFUSED:
 * one is never wanted. @reason gets one clause for people, and no secrets; always set unless done
 * @settings: (nullable) (array zero-terminated=1): names that its section may have beside
 *   postcopyd's own; others are errors of the configuration. %NULL: any
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
  const char *const *settings;
} PostcopydSink;

/**
 * POSTCOPYD_DESTROYS: the action can end a guest or lose its state: it needs allow-destroy in the
 * host's own configuration, a policy must name it in `do`, and nothing else runs beside it.
 */
#define POSTCOPYD_DESTROYS (1u << 0)

/**
 * POSTCOPYD_HANDLES_GUEST: the action touches the guest or its QEMU: it never runs beside another
 * that does, such as stop, freeze or snapshot.
 */
#define POSTCOPYD_HANDLES_GUEST (1u << 1)

/**
 * POSTCOPYD_REPEATABLE: doing it twice is as good as doing it once. The daemon then does the action
 * again if it died while that ran; without, it reports that nobody knows and lets it be.
 */
#define POSTCOPYD_REPEATABLE (1u << 2)

/* All that 1.0 knows. */
#define POSTCOPYD_FLAGS (POSTCOPYD_DESTROYS | POSTCOPYD_HANDLES_GUEST | POSTCOPYD_REPEATABLE)

/**
 * PostcopydPlugin: the data symbol `postcopyd_plugin` of a module, a constant. The first four words
 * are read from the file before any code of the module runs, constructors included. What it points
 * to must be there, and never change, as long as the process lives: a module is never unloaded.
 * @abi_major: POSTCOPYD_ABI_MAJOR, as the plugin was compiled
 * @abi_minor: POSTCOPYD_ABI_MINOR, likewise
 * @struct_size: of this struct, likewise
 * @flags: POSTCOPYD_DESTROYS, POSTCOPYD_HANDLES_GUEST, POSTCOPYD_REPEATABLE; of a sink 0
 * @name: as in the configuration: "VENDOR.NAME", lower case letters, digits and dashes, with a dot,
 *   which no built-in has
 * @kind: "action" or "sink"
 * @description: (nullable): one line for people
 * @action: for "action", else %NULL
 * @sink: for "sink", else %NULL
 * @version: (nullable): of the plugin itself, for people
 */
typedef struct {
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t struct_size;
  uint32_t flags;
  const char *name;
  const char *kind;
  const char *description;
  const PostcopydAction *action;
  const PostcopydSink *sink;
  const char *version;
} PostcopydPlugin;

/**
 * postcopyd_plugin:
 *
 * What a module defines. Declared here so that it has C's linkage, and is exported also where
 * symbols are hidden by default; postcopyd itself has none.
 */
extern __attribute__ ((visibility ("default"))) const PostcopydPlugin postcopyd_plugin;

#ifdef __cplusplus
}
#endif

#endif
