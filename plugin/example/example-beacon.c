/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An action of a third party: tells a station on the network, by one datagram, that a guest is in
 * trouble, waits for its word, and keeps a copy of what it said. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <postcopyd-plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* One clause, as postcopyd shows it. */
#define SAY(outcome, ...) (snprintf (reason, reason_size, __VA_ARGS__), (outcome))

static const char *
find (const PostcopydParam *params, uint32_t n, const char *name)
{
  for (uint32_t i = 0; i < n; i++)
    if (strcmp (params[i].name, name) == 0)
      return params[i].value;
  return NULL;
}

/* `station = 192.0.2.1 4711` of [plugin example.beacon]. */
static int
parse_station (const char *text, struct sockaddr_in *ret_address)
{
  char address[INET_ADDRSTRLEN];
  unsigned port;

  memset (ret_address, 0, sizeof *ret_address);
  ret_address->sin_family = AF_INET;
  if (!text || sscanf (text, "%15s %u", address, &port) != 2 || port == 0 || port > 65535)
    return 0;
  ret_address->sin_port = htons ((uint16_t)port);
  return inet_pton (AF_INET, address, &ret_address->sin_addr) == 1;
}

/* Time left until the deadline, less a tenth of a second for the answer. */
static int
left_ms (const PostcopydJob *job)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  const int64_t usec =
      job->deadline_usec - 100000 - (now.tv_sec * INT64_C (1000000) + now.tv_nsec / 1000);
  return usec > 0 ? (int)(usec / 1000) : 0;
}

/* Into the folder of our own: what is told is the journal's, so this file may be lost. */
static void
keep (const PostcopydMigration *migration, const PostcopydJob *job, const char *word)
{
  char path[4096];
  FILE *file;

  if (!job->directory)
    return;
  snprintf (path, sizeof path, "%s/last", job->directory);
  file = fopen (path, "we");
  if (!file)
    return;
  fprintf (file, "%s %s incident %lld: %s\n", migration->uuid, migration->role,
           (long long)migration->incident, word);
  fclose (file);
}

static PostcopydOutcome
talk (int fd,
      const PostcopydMigration *migration,
      const PostcopydJob *job,
      const char *station,
      char *reason,
      size_t reason_size)
{
  const char *text = find (migration->params, migration->n_params, "text");
  char line[512], word[256];
  ssize_t n;

  snprintf (line, sizeof line, "%s %s %s %s %s", migration->uuid, migration->role, migration->phase,
            migration->cause, text ? text : "");
  if (send (fd, line, strlen (line), 0) < 0)
    return SAY (POSTCOPYD_FAILED, "station %s: %s", station, strerror (errno));
  if (job->progress)
    job->progress (job, 0, 0, "waits for the station's word");
  struct pollfd polled[] = { { fd, POLLIN, 0 }, { job->cancel_fd (job), POLLIN, 0 } };
  if (poll (polled, 2, left_ms (job)) <= 0)
    return SAY (POSTCOPYD_FAILED, "station %s does not answer", station);
  if (job->cancelled (job))
    return SAY (POSTCOPYD_FAILED, "called off while it waited for station %s", station);
  n = recv (fd, word, sizeof word - 1, 0);
  if (n < 0)
    return SAY (POSTCOPYD_FAILED, "station %s: %s", station, strerror (errno));
  word[n] = '\0';
  job->log (job, POSTCOPYD_INFO, word);
  keep (migration, job, word);
  return SAY (POSTCOPYD_DONE, "station %s says %s", station, word);
}

static PostcopydOutcome
run (const PostcopydMigration *migration, const PostcopydJob *job, char *reason, size_t reason_size)
{
  const char *station = find (job->settings, job->n_settings, "station");
  struct sockaddr_in address;
  PostcopydOutcome outcome;
  int fd;

  if (!parse_station (station, &address))
    return SAY (POSTCOPYD_REFUSED, "[plugin example.beacon] station: expected ADDRESS PORT");
  fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect (fd, (struct sockaddr *)&address, sizeof address) < 0)
    outcome = SAY (POSTCOPYD_FAILED, "station %s: %s", station, strerror (errno));
  else
    outcome = talk (fd, migration, job, station, reason, reason_size);
  if (fd >= 0)
    close (fd);
  return outcome;
}

static const char *const params[] = { "text", NULL };
static const char *const settings[] = { "station", NULL };

static const PostcopydAction action = {
  .struct_size = sizeof action,
  .run = run,
  .limit_usec = 5000000,
  .params = params,
  .settings = settings,
};

/* Two datagrams harm nobody. */
const PostcopydPlugin postcopyd_plugin = {
  .abi_major = POSTCOPYD_ABI_MAJOR,
  .abi_minor = POSTCOPYD_ABI_MINOR,
  .struct_size = sizeof postcopyd_plugin,
  .flags = POSTCOPYD_REPEATABLE,
  .name = "example.beacon",
  .kind = "action",
  .description = "tell a station on the network, and wait for its word",
  .action = &action,
  .version = "1.0",
};
