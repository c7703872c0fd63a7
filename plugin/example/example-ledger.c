/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sink of a third party: writes everything that happens into a file, a line each, and says it is
 * delivered only once it is on disk. Who reads it drops what has an id that was there before. */
#include <errno.h>
#include <fcntl.h>
#include <postcopyd-plugin.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SAY(outcome, ...) (snprintf (reason, reason_size, __VA_ARGS__), (outcome))

/* `file = /var/log/ledger` of its [sink ...]; else in the folder of our own. */
static int
open_ledger (const PostcopydJob *job, char *path, size_t path_size)
{
  path[0] = '\0';
  for (uint32_t i = 0; i < job->n_settings; i++)
    if (strcmp (job->settings[i].name, "file") == 0)
      snprintf (path, path_size, "%s", job->settings[i].value);
  if (!path[0] && job->directory)
    snprintf (path, path_size, "%s/ledger", job->directory);
  return open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static PostcopydOutcome
deliver (const PostcopydNote *const *notes,
         uint32_t n_notes,
         const PostcopydJob *job,
         PostcopydDelivery *ret_delivery,
         char *reason,
         size_t reason_size)
{
  char path[4096];
  const int fd = open_ledger (job, path, sizeof path);
  uint32_t n = 0;
  int saved = errno;

  if (fd < 0)
    return SAY (POSTCOPYD_FAILED, "%s: %s", path, strerror (saved));
  while (n < n_notes && !job->cancelled (job) &&
         dprintf (fd, "%s %s %s\n", notes[n]->id, notes[n]->stream, notes[n]->json) > 0)
    n++;
  saved = errno;
  if (fsync (fd) < 0) {
    saved = errno;
    n = 0; /* they may come twice: the ids tell */
  }
  close (fd);
  ret_delivery->n_delivered = n;
  if (n == n_notes)
    return POSTCOPYD_DONE;
  return SAY (POSTCOPYD_FAILED, "%s: %s", path,
              job->cancelled (job) ? "called off" : strerror (saved));
}

static const char *const settings[] = { "file", NULL };

static const PostcopydSink sink = {
  .struct_size = sizeof sink,
  .max_batch = 64,
  .deliver = deliver,
  .settings = settings,
};

const PostcopydPlugin postcopyd_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof postcopyd_plugin,
  .name = "example.ledger",
  .kind = "sink",
  .description = "keep a ledger of everything that happens",
  .sink = &sink,
  .version = "1.0",
};
