/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl recover, force-pause, stop, freeze, snapshot, debug,
 * resume, destroy: has postcopyd do it.
 * What is possible and safe is the daemon's to say; this only asks, waits and tells. */
#include "core/pcd-action.h"
#include "core/pcd-duration.h"
#include "ctl/pcd-act-bar.h"
#include "ctl/pcd-act-wait.h"
#include "ctl/pcd-busy.h"
#include "ctl/pcd-pick.h"
#include "ctl/pcd-show.h"
#include "ctl/pcd-verb-snapshot.h"
#include "ctl/pcd-verbs.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <stdio.h>
#include <unistd.h>

/* Every action has a shorter deadline of its own; polkit may ask a person before. */
#define ANSWER_USEC          (5 * G_TIME_SPAN_MINUTE)
#define SNAPSHOT_ANSWER_USEC (35 * G_TIME_SPAN_MINUTE)
#define GRACE_USEC           (5 * G_TIME_SPAN_SECOND)

typedef struct {
  const PcdVerb *verb;
  PcdActionKind action;
  gboolean wait;
  gboolean force;
  gboolean dry_run;
  gboolean quiet;
  gboolean without_proof;
  char *timeout;
  char *network;
  char *uri;
  char *order;
  char *mode;
  char *limit;
  char *session;
  char *idle;
  char *role;
  char *directory;
  int speed; /* MiB/s, -1 if not given */
  PcdSnapshotWords snapshot;
  gint64 timeout_usec; /* 0 for none */
} Options;

static void
options_clear (Options *options)
{
  g_free (options->timeout);
  g_free (options->network);
  g_free (options->uri);
  g_free (options->order);
  g_free (options->mode);
  g_free (options->limit);
  g_free (options->session);
  g_free (options->idle);
  g_free (options->role);
  g_free (options->directory);
  g_free (options->snapshot.output);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static int
parse (Options *options, int *argc, char ***argv)
{
  const gboolean recovers = options->action == PCD_ACTION_RECOVER;
  const gboolean pauses = options->action == PCD_ACTION_FORCE_PAUSE;
  /* Where --wait or --force would change nothing, they are accepted and not spoken of. */
  const GOptionEntry common[] = {
    { "wait", 0, recovers || pauses ? 0 : G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options->wait,
      recovers ? N_ ("Until the migration has ended") : N_ ("Until it is paused"), NULL },
    { "timeout", 0, 0, G_OPTION_ARG_STRING, &options->timeout, N_ ("Wait no longer, such as 30s"),
      "T" },
    { "role", 0, 0, G_OPTION_ARG_STRING, &options->role,
      N_ ("source or destination, if it has a migration of each"), "ROLE" },
    { "force", 0, options->action == PCD_ACTION_SNAPSHOT ? G_OPTION_FLAG_HIDDEN : 0,
      G_OPTION_ARG_NONE, &options->force, N_ ("Also if it is unwise; never if it is unsafe"),
      NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, N_ ("Tell only what went wrong"), NULL },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &options->dry_run, N_ ("Only say what would be done"),
      NULL },
    { NULL },
  };
  const GOptionEntry recover[] = {
    { "network", 0, 0, G_OPTION_ARG_STRING, &options->network,
      N_ ("Only by addresses of the peer in this network"), "CIDR" },
    { "uri", 0, 0, G_OPTION_ARG_STRING, &options->uri, N_ ("The peer's libvirt"), "URI" },
  };
  const GOptionEntry destroy[] = {
    { "order", 0, 0, G_OPTION_ARG_STRING, &options->order,
      N_ ("destination-first or source-first; must be given"), "ORDER" },
    { "without-proof", 0, 0, G_OPTION_ARG_NONE, &options->without_proof,
      N_ ("Also if the other side may still complete"), NULL },
  };
  const GOptionEntry debug[] = {
    { "mode", 0, 0, G_OPTION_ARG_STRING, &options->mode,
      N_ ("backtrace (default), core, stacks, gdbserver or guest"), "MODE" },
    { "limit", 0, 0, G_OPTION_ARG_STRING, &options->limit,
      N_ ("How long it may take, 20s if not given"), "T" },
    { "session", 0, 0, G_OPTION_ARG_STRING, &options->session,
      N_ ("gdbserver and guest: how long, 10min if not given"), "T" },
    { "idle", 0, 0, G_OPTION_ARG_STRING, &options->idle,
      N_ ("Of which how long in silence, 2min if not given"), "T" },
  };
  const GOptionEntry snapshot[] = {
    { "directory", 0, 0, G_OPTION_ARG_FILENAME, &options->directory,
      N_ ("Make it in this folder of the host's"), "DIR" },
    { "speed", 0, 0, G_OPTION_ARG_INT, &options->speed,
      N_ ("Copy disks no faster, in MiB/s; 0 (default) for no limit"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options->snapshot.json, N_ ("Print the manifest"), NULL },
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &options->snapshot.output, N_ ("The core to write"),
      "FILE" },
    { "mark-missing", 0, 0, G_OPTION_ARG_NONE, &options->snapshot.mark_missing,
      N_ ("Also if pages are missing"), NULL },
  };
  g_autoptr (GArray) entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));

  if (options->action == PCD_ACTION_RECOVER)
    g_array_append_vals (entries, recover, G_N_ELEMENTS (recover));
  if (options->action == PCD_ACTION_DESTROY)
    g_array_append_vals (entries, destroy, G_N_ELEMENTS (destroy));
  if (options->action == PCD_ACTION_DEBUG)
    g_array_append_vals (entries, debug, G_N_ELEMENTS (debug));
  if (options->action == PCD_ACTION_SNAPSHOT)
    g_array_append_vals (entries, snapshot, G_N_ELEMENTS (snapshot));
  g_array_append_vals (entries, common, G_N_ELEMENTS (common));
  return pcd_verb_parse (options->verb, (const GOptionEntry *)entries->data, argc, argv);
}

static gboolean
check (Options *options, int argc)
{
  const char *program = g_get_prgname ();

  if (argc != 2)
    g_printerr (_ ("%s: expected one DOMAIN; see '%s --help'\n"), program, program);
  else if (!pcd_pick_check_role (options->role))
    return FALSE;
  else if (options->network && options->uri)
    g_printerr (_ ("%s: --network and --uri, expected one of them\n"), program);
  else if (options->action == PCD_ACTION_DESTROY && !options->order)
    g_printerr (_ ("%s: --order is missing, expected destination-first or source-first\n"),
                program);
  else if (options->directory && !pcd_path_is_good (options->directory))
    g_printerr (_ ("%s: --directory: got \"%s\", expected %s\n"), program, options->directory,
                _ (PCD_PATH_EXPECTED));
  else if (options->speed < -1 || options->speed > 1000000)
    g_printerr (_ ("%s: --speed: got %d, expected MiB/s (0 to 1000000)\n"), program,
                options->speed);
  else if (options->snapshot.json || options->snapshot.output || options->snapshot.mark_missing)
    g_printerr (_ ("%s: --json, --output and --mark-missing are for info and merge\n"), program);
  else if (options->timeout &&
           (!pcd_duration_parse (options->timeout, &options->timeout_usec, NULL) ||
            options->timeout_usec < G_TIME_SPAN_MILLISECOND ||
            options->timeout_usec > G_TIME_SPAN_DAY))
    g_printerr (_ ("%s: --timeout: got \"%s\", expected a duration such as 30s (1ms to 24h)\n"),
                program, options->timeout);
  else
    return TRUE;
  return FALSE;
}

static gboolean
waits (const Options *options)
{
  return options->wait && !options->dry_run &&
         (options->action == PCD_ACTION_RECOVER || options->action == PCD_ACTION_FORCE_PAUSE);
}

static GVariant *
to_variant (const Options *options)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  if (options->force)
    g_variant_dict_insert (&dict, "force", "b", TRUE);
  if (options->dry_run)
    g_variant_dict_insert (&dict, "dry-run", "b", TRUE);
  if (options->timeout_usec && !waits (options))
    g_variant_dict_insert (&dict, "timeout", "t", (guint64)options->timeout_usec);
  if (options->network || options->uri)
    g_variant_dict_insert (&dict, "address", "s", options->network ?: options->uri);
  if (options->order)
    g_variant_dict_insert (&dict, "order", "s", options->order);
  if (options->mode)
    g_variant_dict_insert (&dict, "mode", "s", options->mode);
  if (options->limit)
    g_variant_dict_insert (&dict, "limit", "s", options->limit);
  if (options->session)
    g_variant_dict_insert (&dict, "session", "s", options->session);
  if (options->idle)
    g_variant_dict_insert (&dict, "idle", "s", options->idle);
  if (options->directory)
    g_variant_dict_insert (&dict, "directory", "s", options->directory);
  if (options->speed >= 0)
    g_variant_dict_insert (&dict, "speed", "u", (guint)options->speed);
  if (options->without_proof)
    g_variant_dict_insert (&dict, "without-proof", "b", TRUE);
  return g_variant_new ("(s@a{sv})", pcd_action_to_string (options->action),
                        g_variant_dict_end (&dict));
}

/* What it found goes to standard output, where it is kept to standard error. */
static int
print_output (PcdClient *client,
              const PcdClientMigration *migration,
              const Options *options,
              const char *reason)
{
  g_autofree char *name = pcd_text_printable (migration->name);
  g_autofree char *text = pcd_text_printable (reason);
  char buffer[16384];
  gssize n;
  int fd;

  if (!options->quiet)
    g_printerr (_ ("%s: debug: done: %s\n"), name, text);
  if (g_strcmp0 (options->mode, "core") == 0 && isatty (STDOUT_FILENO))
    return PCD_EXIT_DONE;
  int exit_code = pcd_client_open_debug_output (client, migration->path, &fd);
  if (exit_code != PCD_EXIT_DONE)
    return exit_code;
  while ((n = read (fd, buffer, sizeof buffer)) > 0)
    fwrite (buffer, 1, (size_t)n, stdout);
  close (fd);
  return n == 0 && fflush (stdout) == 0 ? PCD_EXIT_DONE : PCD_EXIT_FAILED;
}

/* Neither on the source, nor for a migration that is over. */
static gboolean
can_freeze (const PcdClientMigration *migration)
{
  return g_str_equal (migration->role, pcd_role_to_string (PCD_ROLE_DESTINATION)) &&
         !pcd_show_has_ended (migration);
}

static int
act (const PcdCtl *ctl,
     PcdClient *client,
     const PcdClientMigration *migration,
     const Options *options)
{
  const gint64 usual = options->action == PCD_ACTION_SNAPSHOT ? SNAPSHOT_ANSWER_USEC : ANSWER_USEC;
  const gint64 limit = options->timeout_usec ? options->timeout_usec + GRACE_USEC : usual;
  g_autoptr (GVariant) reply = NULL;
  const char *outcome = NULL, *reason = NULL;
  const PcdClientQuestion question = {
    .path = migration->path,
    .method = "Act",
    .arguments = to_variant (options),
    .reply_type = "(ss)",
    .timeout_msec = (int)(limit / G_TIME_SPAN_MILLISECOND),
  };
  const gboolean bar = !ctl->quiet && !options->dry_run && pcd_busy_can_draw ();
  int exit_code = bar ? pcd_act_with_bar (client, migration, &question,
                                          pcd_action_to_string (options->action), &reply)
                      : pcd_client_call (client, &question, &reply);

  if (exit_code != PCD_EXIT_DONE)
    return exit_code;
  g_variant_get (reply, "(&s&s)", &outcome, &reason);
  g_autofree char *name = pcd_text_printable (migration->name);
  if (options->action == PCD_ACTION_DEBUG && !options->dry_run && g_str_equal (outcome, "done"))
    return print_output (client, migration, options, reason);
  if (!g_str_equal (outcome, "done") || !options->quiet)
    pcd_act_tell_outcome (name, options->action, options->dry_run, can_freeze (migration), outcome,
                          reason);
  return g_str_equal (outcome, "done") ? PCD_EXIT_DONE : PCD_EXIT_FAILED;
}

static int
ask (const PcdCtl *ctl, const Options *options, const char *domain)
{
  int exit_code = PCD_EXIT_DONE;
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  g_autoptr (PcdClientState) state = client ? pcd_client_get_state (client) : NULL;

  if (!state)
    return client ? PCD_EXIT_NO_DAEMON : exit_code;
  const PcdActionSpec *spec = pcd_action_get_spec (options->action);
  const PcdClientMigration *migration = pcd_pick_migration (
      ctl, state, domain, options->role, spec->roles & ~spec->hung_roles, &exit_code);
  if (!migration)
    return exit_code;
  if (!waits (options))
    return act (ctl, client, migration, options);
  const PcdActWait wait = {
    .action = options->action,
    .order = to_variant (options),
    .timeout_usec = options->timeout_usec,
    .quiet = options->quiet,
    .draws = !ctl->quiet && pcd_busy_can_draw (),
  };
  return pcd_act_wait (client, migration, &wait);
}

/* Bundles are files of the host that made them. */
static int
refuse_snapshot_word (const PcdCtl *ctl, const char *word)
{
  g_autofree char *words = g_strconcat ("snapshot ", word, NULL);

  return pcd_verb_refuse_host (ctl, words);
}

static int
run (const PcdCtl *global, const PcdVerb *verb, PcdActionKind action, int argc, char **argv)
{
  g_auto (Options) options = { .verb = verb, .action = action, .speed = -1 };
  int parsed = parse (&options, &argc, &argv);
  PcdCtl own = *global;
  const PcdCtl *ctl = &own;

  if (parsed >= 0)
    return parsed;
  own.quiet |= options.quiet;
  /* What it prints comes as a file descriptor, which ssh cannot pass on. */
  if (ctl->host && action == PCD_ACTION_DEBUG)
    return pcd_verb_refuse_host (ctl, verb->name);
  if (action == PCD_ACTION_SNAPSHOT && pcd_snapshot_is_word (argc, argv))
    return ctl->host ? refuse_snapshot_word (ctl, argv[1])
                     : pcd_snapshot_words (ctl, &options.snapshot, argc, argv);
  return check (&options, argc) ? ask (ctl, &options, argv[1]) : PCD_EXIT_USAGE;
}

#define ACT_VERB(id, kind, name_, summary_, example_)                                              \
  static int run_##id (const PcdCtl *ctl, int argc, char **argv)                                   \
  {                                                                                                \
    return run (ctl, &pcd_verb_##id, kind, argc, argv);                                            \
  }                                                                                                \
  const PcdVerb pcd_verb_##id = {                                                                  \
    .name = name_, .synopsis = "DOMAIN", .summary = summary_, .example = example_, .run = run_##id \
  };

ACT_VERB (recover,
          PCD_ACTION_RECOVER,
          "recover",
          N_ ("Reconnect a paused migration, and let it go on"),
          "recover vm1 --wait")
ACT_VERB (force_pause,
          PCD_ACTION_FORCE_PAUSE,
          "force-pause",
          N_ ("Make QEMU give a dead connection up, so that it can be recovered"),
          "force-pause vm1 --wait --timeout 30s")
ACT_VERB (stop, PCD_ACTION_STOP, "stop", N_ ("Stop the guest, if that cannot hang QEMU"), NULL)
ACT_VERB (freeze,
          PCD_ACTION_FREEZE,
          "freeze",
          N_ ("Freeze the guest's vCPUs, where stop would hang"),
          NULL)
ACT_VERB (debug,
          PCD_ACTION_DEBUG,
          "debug",
          N_ ("Show what QEMU's threads are at, or keep a core of QEMU"),
          "debug vm1 --mode stacks")
ACT_VERB (resume, PCD_ACTION_RESUME, "resume", N_ ("Undo postcopyd's stop or freeze"), NULL)

/* Some of its words are no domains: see pcd-verb-snapshot.c. */
static int
run_snapshot (const PcdCtl *ctl, int argc, char **argv)
{
  return run (ctl, &pcd_verb_snapshot, PCD_ACTION_SNAPSHOT, argc, argv);
}

const PcdVerb pcd_verb_snapshot = {
  .name = "snapshot",
  .synopsis = "DOMAIN | verify BUNDLE | info BUNDLE | merge SOURCE DESTINATION",
  .summary = N_ ("Keep what this side has of a guest; or read what was kept"),
  .example = "snapshot vm1 --directory /srv/snapshots",
  .subverbs = pcd_snapshot_subverbs,
  .usage = "DOMAIN | COMMAND BUNDLE...",
  .options = "directory speed timeout role quiet dry-run",
  .run = run_snapshot,
};

ACT_VERB (destroy,
          PCD_ACTION_DESTROY,
          "destroy",
          N_ ("Destroy this side of a migration that cannot be completed"),
          "destroy vm1 --order destination-first --dry-run")
