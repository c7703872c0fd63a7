/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One source for all the plugins of the tests, good and bad: -D says what is wrong with it. HEADER
 * is today's header or the frozen one. */
#include HEADER
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef NAME
#define NAME "test.subject"
#endif
#ifndef KIND
#define KIND "action"
#endif
#ifndef MAJOR
#define MAJOR POSTCOPYD_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR POSTCOPYD_ABI_MINOR
#endif
#ifndef FLAGS
#define FLAGS 0
#endif
#ifndef SIZE
#define SIZE sizeof (PostcopydPlugin)
#endif
#ifndef ACTION_SIZE
#define ACTION_SIZE sizeof (PostcopydAction)
#endif
#ifndef LIMIT
#define LIMIT 0
#endif
#ifndef RUN
#define RUN works
#endif

typedef PostcopydOutcome Run (const PostcopydMigration *migration,
                              const PostcopydJob *job,
                              char *reason,
                              size_t reason_size);

/* What it was given, so that the test can see it. */
__attribute__ ((unused)) static Run works;
static PostcopydOutcome
works (const PostcopydMigration *migration,
       const PostcopydJob *job,
       char *reason,
       size_t reason_size)
{
  const char *with = migration->n_params ? migration->params[migration->n_params - 1].value : "";

  strncpy (reason, "given ", reason_size - 1);
  strncat (reason, with, reason_size - strlen (reason) - 1);
  strncat (reason, migration->internal ? " and internal" : " and no internal",
           reason_size - strlen (reason) - 1);
  job->log (job, POSTCOPYD_NOTICE, POSTCOPYD_HAS (job, directory) ? job->directory : "?");
  return POSTCOPYD_DONE;
}

__attribute__ ((unused)) static Run hangs;
static PostcopydOutcome
hangs (const PostcopydMigration *migration,
       const PostcopydJob *job,
       char *reason,
       size_t reason_size)
{
  while (1)
    pause ();
  return POSTCOPYD_DONE;
}

__attribute__ ((unused)) static Run raves;
static PostcopydOutcome
raves (const PostcopydMigration *migration,
       const PostcopydJob *job,
       char *reason,
       size_t reason_size)
{
  memset (reason, 0xff, reason_size);
  return (PostcopydOutcome)4711;
}

__attribute__ ((unused)) static Run says_nothing;
static PostcopydOutcome
says_nothing (const PostcopydMigration *migration,
              const PostcopydJob *job,
              char *reason,
              size_t reason_size)
{
  return POSTCOPYD_FAILED;
}

__attribute__ ((unused)) static Run kills;
static PostcopydOutcome
kills (const PostcopydMigration *migration,
       const PostcopydJob *job,
       char *reason,
       size_t reason_size)
{
  abort ();
}

#ifdef KILLS_EARLY
__attribute__ ((constructor)) static void
kill_early (void)
{
  abort ();
}
#endif

#ifdef NEEDS
extern int no_such_function (void);
int (*needs) (void) = no_such_function;
#endif

#ifdef DELIVER
#define NO_ACTION
typedef PostcopydOutcome Deliver (const PostcopydNote *const *notes,
                                  uint32_t n_notes,
                                  const PostcopydJob *job,
                                  PostcopydDelivery *ret_delivery,
                                  char *reason,
                                  size_t reason_size);

__attribute__ ((unused)) static Deliver answers_nonsense;
static PostcopydOutcome
answers_nonsense (const PostcopydNote *const *notes,
                  uint32_t n_notes,
                  const PostcopydJob *job,
                  PostcopydDelivery *ret_delivery,
                  char *reason,
                  size_t reason_size)
{
  memset (reason, 0xff, reason_size);
  return (PostcopydOutcome)4711;
}

__attribute__ ((unused)) static Deliver counts_nonsense;
static PostcopydOutcome
counts_nonsense (const PostcopydNote *const *notes,
                 uint32_t n_notes,
                 const PostcopydJob *job,
                 PostcopydDelivery *ret_delivery,
                 char *reason,
                 size_t reason_size)
{
  ret_delivery->n_delivered = n_notes + 1;
  return POSTCOPYD_FAILED;
}

__attribute__ ((unused)) static Deliver keeps;
static PostcopydOutcome
keeps (const PostcopydNote *const *notes,
       uint32_t n_notes,
       const PostcopydJob *job,
       PostcopydDelivery *ret_delivery,
       char *reason,
       size_t reason_size)
{
  while (1)
    pause ();
  return POSTCOPYD_DONE;
}

__attribute__ ((unused)) static Deliver ends;
static PostcopydOutcome
ends (const PostcopydNote *const *notes,
      uint32_t n_notes,
      const PostcopydJob *job,
      PostcopydDelivery *ret_delivery,
      char *reason,
      size_t reason_size)
{
  abort ();
}

static const PostcopydSink sink = {
  .struct_size = sizeof sink,
  .deliver = DELIVER,
};
#endif

__attribute__ ((unused)) static const PostcopydAction action = {
  .struct_size = ACTION_SIZE,
  .run = RUN,
  .limit_usec = LIMIT,
};

/* As a later version might have it. */
typedef struct {
  PostcopydPlugin known;
  const char *later[8];
} Later;

#if defined NO_SYMBOL
const PostcopydPlugin *get_plugin (void);
#elif defined FUNCTION
#define postcopyd_plugin hidden_plugin
#endif

#ifdef LATER
__attribute__ ((visibility ("default"))) const Later later_plugin __asm__("postcopyd_plugin") = {
  {
#elif defined NO_SYMBOL
static const PostcopydPlugin other = {
#elif defined ZERO
PostcopydPlugin zero __asm__("postcopyd_plugin");
__attribute__ ((unused)) static const PostcopydPlugin other = {
#elif defined FUNCTION
__attribute__ ((visibility ("default"))) void real_function (void) __asm__("postcopyd_plugin");
void
real_function (void)
{
}
__attribute__ ((unused)) static const PostcopydPlugin other = {
#else
const PostcopydPlugin postcopyd_plugin = {
#endif
      .abi_major = MAJOR,
      .abi_minor = MINOR,
      .struct_size = SIZE,
      .flags = FLAGS,
      .name = NAME,
      .kind = KIND,
      .description = "a subject of tests",
#ifndef NO_ACTION
      .action = &action,
#endif
#ifdef DELIVER
      .sink = &sink,
#endif
      .version = "1",
#ifdef LATER
  },
#endif
};

#ifdef NO_SYMBOL
const PostcopydPlugin *
get_plugin (void)
{
  return &other;
}
#endif
