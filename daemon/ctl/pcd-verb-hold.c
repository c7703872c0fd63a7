/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl hold, release: no automatic action, and automatic action again.
 * Asks the daemon; knows nothing of what it does or leaves. */
#include "ctl/pcd-pick.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>

/* The daemon may ask polkit, and polkit a person. */
#define ANSWER_MSEC (150 * 1000)

static int
run (const PcdCtl *ctl,
     const PcdVerb *verb,
     const char *method,
     const char *done,
     int argc,
     char **argv)
{
  g_autofree char *role = NULL;
  const GOptionEntry entries[] = {
    { "role", 0, 0, G_OPTION_ARG_STRING, &role,
      N_ ("source or destination, if the domain has a migration of each"), "ROLE" },
    { NULL },
  };
  int exit_code = pcd_verb_parse (verb, entries, &argc, &argv);

  if (exit_code >= 0)
    return exit_code;
  if (!pcd_pick_check_role (role))
    return PCD_EXIT_USAGE;
  if (argc != 2) {
    g_printerr (_ ("%s: expected one DOMAIN; see '%s --help'\n"), g_get_prgname (),
                g_get_prgname ());
    return PCD_EXIT_USAGE;
  }
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  g_autoptr (PcdClientState) state = client ? pcd_client_get_state (client) : NULL;
  if (!state)
    return client ? PCD_EXIT_NO_DAEMON : exit_code;
  const PcdClientMigration *migration =
      pcd_pick_migration (ctl, state, argv[1], role, PCD_PICK_ANY_ROLE, &exit_code);
  if (!migration)
    return exit_code;
  const PcdClientQuestion question = {
    .path = migration->path, .method = method, .reply_type = "()", .timeout_msec = ANSWER_MSEC
  };
  exit_code = pcd_client_call (client, &question, NULL);
  if (exit_code == PCD_EXIT_DONE) {
    g_autofree char *name = pcd_text_printable (migration->name);
    g_print ("%s: %s\n", name, done);
  }
  return exit_code;
}

static int
run_hold (const PcdCtl *ctl, int argc, char **argv)
{
  return run (ctl, &pcd_verb_hold, "Hold", _ ("held: no automatic action until it is released"),
              argc, argv);
}

static int
run_release (const PcdCtl *ctl, int argc, char **argv)
{
  return run (ctl, &pcd_verb_release, "Release", _ ("released: its policy acts again"), argc, argv);
}

const PcdVerb pcd_verb_hold = {
  .name = "hold",
  .synopsis = "DOMAIN [--role ROLE]",
  .summary = N_ ("No automatic action on a domain from now on"),
  .run = run_hold,
};

const PcdVerb pcd_verb_release = {
  .name = "release",
  .synopsis = "DOMAIN [--role ROLE]",
  .summary = N_ ("Automatic action again, after hold"),
  .run = run_release,
};
