/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that doctor knows of a host before it judges.
 * Facts only: what is good or bad is pcd-judge.h's. */
#pragma once

#include "core/pcd-action.h"
#include "core/pcd-policy-set.h"
#include "engine/pcd-config.h"
#include "host/pcd-probe.h"
#include "libvirt/pcd-vir-self.h"

G_BEGIN_DECLS

/**
 * PcdAnswer: what a libvirt says when it is asked, see pcd-ask.h.
 * @refused: the network works, nobody listens at that port
 * @unreachable: not even that: no answer to a SYN in time, or no route
 * @error: (nullable): why there is no answer; %NULL if there is
 */
typedef struct {
  gboolean refused;
  gboolean unreachable;
  char *error;
  PcdVirSelf self;
} PcdAnswer;

/**
 * PcdPeerFacts: one address of one `[peer NAME]`.
 * @uri: its libvirt, as the source's libvirt would open it
 */
typedef struct {
  char *name;
  char *address;
  char *uri;
  PcdAnswer answer;
} PcdPeerFacts;

typedef enum {
  PCD_HOOK_OK,
  PCD_HOOK_MISSING,
  PCD_HOOK_DANGLING,       /* a link, or our script, whose program is gone */
  PCD_HOOK_NOT_EXECUTABLE, /* libvirt passes it over */
  PCD_HOOK_UNSAFE,         /* others than root may change what libvirt runs as root */
} PcdHookState;

/**
 * PcdKeepalive: as in a file of libvirt's configuration, else libvirt's default.
 * @interval: seconds; -1 or 0: off
 */
typedef struct {
  int interval;
  int count;
} PcdKeepalive;

/**
 * PcdFacts:
 * @is_root: else much of the rest is not known
 * @probe_reason: (nullable): why the verdict is not measured
 * @tcp_retries2: -1 not known, like the next four
 * @ptrace_scope: of the Yama module; -1: there is none
 * @has_pty_rule: whether AppArmor's profile of libvirt's QEMUs allows a pty
 * @cgroup_mount: (nullable): of cgroup v2
 * @freezer_error: (nullable): why a process could not be frozen there; %NULL if it could
 * @clock_synchronised: the kernel's word (adjtimex)
 * @clock_error_usec: its bound of the clock's error
 *
 * @state_errno: of writing to @state_dir; 0 good
 * @state_is_volatile: it is on a tmpfs or ramfs
 *
 * @qemu_user: (nullable): for people
 * @qemu_uid: -1 not known
 * @uffd_syscall: errno of userfaultfd(2) as that user; 0 good, -1 not tried
 * @uffd_device: of /dev/userfaultfd likewise
 *
 * @hooks_since: since when there has been an executable qemu hook, as far as its files tell;
 *   µs of the wall clock, 0 if there is none
 * @libvirtd: (nullable): the daemon's name; %NULL: none was found running
 * @libvirtd_started: µs of the wall clock
 *
 * @qemu_label: (nullable): "+UID:+GID" by qemu.conf's user and group
 * @migration_host_set: qemu.conf's migration_host
 * @server_conf: (nullable): where @server_keepalive is from
 *
 * @bus_error: (nullable): why the bus does not answer
 * @daemon_error: (nullable): why the daemon on the bus does not
 * @daemon_caps: its effective capabilities, bit N is capability N
 * @config_error: (nullable): then @config is zeroes
 * @plugins: (nullable) (element-type PcdPluginView): what the configuration names
 * @policies: (nullable): %NULL then @policies_error says why
 */
typedef struct {
  gboolean is_root;
  char *hostname;
  char *kernel;
  PcdProbeVerdict probe_verdict;
  PcdProbeHow probe_how;
  char *probe_reason;
  int tcp_retries2;
  int pty_max;
  int pty_nr;
  int unprivileged_userfaultfd;
  int ptrace_scope;
  gboolean apparmor_enabled;
  PcdFact has_pty_rule;
  gboolean selinux_enforcing;
  char *cgroup_mount;
  char *freezer_error;
  gboolean clock_synchronised;
  gint64 clock_error_usec;

  char *state_dir;
  int state_errno;
  gboolean state_is_volatile;
  guint64 state_free;

  char *qemu_user;
  gint64 qemu_uid;
  int uffd_syscall;
  int uffd_device;

  PcdHookState hook;
  char *hook_path;
  gint64 hooks_since;
  char *libvirtd;
  int libvirtd_pid;
  gint64 libvirtd_started;
  PcdKeepalive keepalive;
  PcdKeepalive server_keepalive;
  char *server_conf;
  gboolean migration_host_set;
  char *qemu_label;

  char *uri;
  PcdAnswer libvirt;
  GPtrArray *peers;

  char *bus_error;
  gboolean daemon_running;
  char *daemon_error;
  int daemon_pid;
  char *daemon_version;
  gboolean daemon_connected;
  char *daemon_reason;
  gboolean daemon_dry_run;
  gboolean daemon_caps_known;
  guint64 daemon_caps;
  char *config_path;
  char *config_error;
  PcdConfig config;
  GPtrArray *plugins;
  PcdPolicySet *policies;
  char *policies_error;
} PcdFacts;

/* @text: what is being asked or tried now, one line, from the main thread. */
typedef void (*PcdFactsNews) (const char *text, gpointer data);

/**
 * PcdFactsOptions: what the user said; each may be %NULL.
 * @uri: this host's libvirt, else the daemon's, else qemu:///system
 * @bus: as for pcd_bus_resolve ()
 * @config: postcopyd.conf, else that of the running daemon, else the default
 * @policy_dir: likewise
 * @news: called while the facts are gathered
 */
typedef struct {
  const char *uri;
  const char *bus;
  const char *config;
  const char *policy_dir;
  PcdFactsNews news;
  gpointer news_data;
} PcdFactsOptions;

/**
 * pcd_facts_gather:
 *
 * Looks, asks, and tries; leaves the host as it was. Each question has a deadline; all together
 * take 3 to 12 s at most. Main thread of a short-lived program only: it forks, and runs the default
 * main context.
 *
 * Returns: (transfer full)
 */
PcdFacts *pcd_facts_gather (const PcdFactsOptions *options);

/* Returns: (transfer full): nothing known yet: what could not be found out stays so */
PcdFacts *pcd_facts_new (void);
void pcd_facts_free (PcdFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdFacts, pcd_facts_free)

void pcd_answer_clear (PcdAnswer *answer);

/* Its parts. */
void pcd_facts_look_at_host (PcdFacts *facts);    /* /proc, /sys */
void pcd_facts_look_at_libvirt (PcdFacts *facts); /* its files, and its process */
void pcd_facts_look_at_state_dir (PcdFacts *facts);
void pcd_facts_ask_daemon (PcdFacts *facts, const PcdFactsOptions *options);

/**
 * pcd_facts_try_freezer:
 *
 * Freezes and thaws a process of our own, in a cgroup of our own at the root of cgroup v2, and
 * removes both. Some ms. Needs root.
 */
void pcd_facts_try_freezer (PcdFacts *facts);

/**
 * pcd_facts_try_userfaultfd:
 * @label: (nullable): "+UID:+GID", as libvirt's capabilities have it
 *
 * Forks a process that becomes that user, as libvirt does with QEMU, and has it open a userfaultfd
 * for faults in the kernel. One that is not root loses its capabilities on the way
 * (capabilities(7)); root keeps them, as libvirt 9.0 leaves them to a QEMU that runs as root (seen
 * in its /proc/PID/status). Needs root.
 */
void pcd_facts_try_userfaultfd (PcdFacts *facts, const char *label);

/**
 * pcd_facts_conf_get:
 * @text: a file of libvirt's configuration: `key = value`, `# comment`
 *
 * Pure. The last one holds, as in libvirt; quotes are taken off.
 *
 * Returns: (transfer full) (nullable): the value
 */
char *pcd_facts_conf_get (const char *text, const char *key);

G_END_DECLS
