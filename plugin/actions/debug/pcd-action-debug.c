/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `debug`: a look inside QEMU; it is only held where that cannot hang. Safety rule 2.
 * Must not know why somebody wants to look. */
#include "actions/debug/pcd-action-debug.h"

#include "actions/debug/pcd-debug-gate.h"
#include "actions/debug/pcd-debug-gdb.h"
#include "actions/debug/pcd-debug-server.h"
#include "actions/pcd-action-util.h"
#include "debug/pcd-debug-file.h"
#include "debug/pcd-stacks.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static gboolean
write_all (int fd, const char *text)
{
  gsize left = strlen (text);

  while (left > 0) {
    gssize n = write (fd, text, left);
    if (n < 0 && errno != EINTR)
      return FALSE;
    if (n > 0) {
      text += n;
      left -= (gsize)n;
    }
  }
  return TRUE;
}

static PostcopydOutcome
stacks (const PcdDebugWork *work)
{
  g_autoptr (GError) error = NULL;
  guint n_threads = 0;
  g_autofree char *text = pcd_stacks_describe (work->migration->pid, &n_threads, &error);

  if (!text)
    return pcd_action_fail (work->reason, "%s", error->message);
  if (!write_all (work->fd, text)) {
    const int saved_errno = errno;

    if (ftruncate (work->fd, 0) < 0) /* half of them is none */
      g_warning ("%s: %s", work->path, g_strerror (errno));
    return pcd_action_fail (work->reason, "cannot write %s: %s", work->path,
                            g_strerror (saved_errno));
  }
  return pcd_action_done (work->reason, "%u threads, from /proc alone: %s", n_threads, work->path);
}

static const struct {
  const char *mode;
  const char *suffix;
  gboolean holds;
  PcdActionNeed need; /* if it holds */
  PostcopydOutcome (*run) (const PcdDebugWork *work);
} modes[] = {
  { "backtrace", "txt", TRUE, PCD_NEED_TRACEABLE, pcd_debug_gdb_backtrace },
  { "core", "core", TRUE, PCD_NEED_TRACEABLE, pcd_debug_gdb_core },
  { "stacks", "txt", FALSE, 0, stacks },
  { "gdbserver", "txt", TRUE, PCD_NEED_TRACEABLE, pcd_debug_server_process },
  { "guest", "txt", TRUE, PCD_NEED_KICKABLE, pcd_debug_server_guest },
};

static int
find_mode (const PostcopydMigration *migration)
{
  const char *mode = pcd_action_param (migration, "mode") ?: modes[0].mode;

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    if (g_str_equal (modes[i].mode, mode))
      return (int)i;
  return -1;
}

static PostcopydOutcome
run_mode (PcdDebugWork *work, int mode)
{
  const PcdActionHost *host = pcd_action_host (work->migration);
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  PostcopydOutcome outcome;

  work->fd = pcd_debug_file_create (host->state_dir, work->migration->incident, modes[mode].mode,
                                    modes[mode].suffix, g_get_real_time (), &path, &error);
  if (work->fd < 0)
    return pcd_action_fail (work->reason, "%s", error->message);
  work->path = path;
  outcome = modes[mode].run (work);
  if (lseek (work->fd, 0, SEEK_END) == 0)
    unlink (path); /* nothing came of it */
  close (work->fd);
  return outcome;
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *text, size_t size)
{
  const PcdReason reason = { text, size };
  PcdDebugWork work = { .migration = migration, .job = job, .reason = &reason };
  const int mode = find_mode (migration);
  PostcopydOutcome outcome;

  if (mode < 0)
    return pcd_action_refuse (&reason, "there is no mode '%s'; see 'postcopyctl debug --help'",
                              pcd_action_param (migration, "mode"));
  if (pcd_action_is_source (migration))
    return pcd_action_refuse (&reason, "the guest does not run on the source: "
                                       "run it on the destination");
  if (migration->pid <= 0)
    return pcd_action_refuse (&reason, PCD_ACTION_NO_PROCESS);
  if (!pcd_action_host (migration)->state_dir)
    return pcd_action_refuse (&reason,
                              "there is no folder to keep the output in; postcopyd's log says why");
  if (modes[mode].holds && pcd_debug_gate_refuses (migration, modes[mode].need, &reason, &outcome))
    return outcome;
  return run_mode (&work, mode);
}

static const PostcopydAction action = { .struct_size = sizeof action, .run = run };

const PostcopydPlugin pcd_action_debug_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof (PostcopydPlugin),
  .name = "debug",
  .kind = "action",
  .description = "Keep stacks, backtraces or a core of QEMU.",
  .action = &action,
};
